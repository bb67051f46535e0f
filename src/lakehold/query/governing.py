"""CREATE ROLE, GRANT and their kin; SHOW GRANTS."""

from __future__ import annotations

from uuid import UUID

from lakehold.access import GrantRow
from lakehold.catalog import Relation
from lakehold.errors import (
    DuplicateObject,
    InvalidRequest,
    PermissionDenied,
    UndefinedColumn,
    UndefinedObject,
)
from lakehold.identity import ADMIN_ROLE
from lakehold.names import SYSTEM_SCHEMAS, TableName
from lakehold.policy import (
    SYSTEM_SCHEMA_ID,
    ObjectKind,
    Privilege,
    Target,
    may_grant,
)
from lakehold.query import statements as s
from lakehold.query.execution import Call
from lakehold.query.result import Answer, Result
from lakehold.query.scope import Scope
from lakehold.query.scope import target as target_of
from lakehold.query.system import LEDGER, LEDGER_ID
from lakehold.query.tree import fold

_COLUMN_PRIVILEGES = (Privilege.SELECT, Privilege.INSERT, Privilege.UPDATE)


def govern(call: Call) -> Result:
    """Change principals, roles or grants: in one PostgreSQL transaction with its record."""
    if call.state.transaction is not None:
        raise InvalidRequest(
            "principals and grants cannot be changed inside of a transaction",
            hint="COMMIT first",
        )
    gateway, statement = call.gateway, call.statement
    with gateway.database.transaction() as connection:
        facts = gateway.access.facts(connection)
        scope = gateway.scope(call.state, connection, facts)
        match statement:
            case s.GrantPrivileges():
                _grant(statement, scope, call)
            case s.GrantRole():
                _require_admin(scope, "granting roles")
                _grant_role(statement, scope, call)
            case _:
                _require_admin(scope, "managing principals")
                _principal(statement, scope, call)
        gateway.recorder.finished(call.running, rows=0, connection=connection)
    return call.done()


def _require_admin(scope: Scope, what: str) -> None:
    if ADMIN_ROLE not in scope.facts.effective_roles(scope.roles):
        raise PermissionDenied(f"{what} needs the role {ADMIN_ROLE}")


def _principal(statement: s.Statement, scope: Scope, call: Call) -> None:
    access, connection = call.gateway.access, scope.connection
    try:
        match statement:
            case s.CreateRole():
                access.create_role(connection, statement.name)
            case s.CreateUser():
                access.create_user(connection, statement.name)
            case s.DropRole():
                access.drop_role(connection, statement.name)
            case s.DropUser():
                access.drop_user(connection, statement.name)
    except DuplicateObject:
        if not getattr(statement, "if_not_exists", False):
            raise
    except UndefinedObject:
        if not getattr(statement, "if_exists", False):
            raise


def _grant_role(statement: s.GrantRole, scope: Scope, call: Call) -> None:
    access = call.gateway.access
    change = access.revoke_role if statement.revoke else access.grant_role
    if statement.to_user:
        change(scope.connection, statement.role, to_user=statement.grantee)
    else:
        change(scope.connection, statement.role, to_role=statement.grantee)


def _grant(statement: s.GrantPrivileges, scope: Scope, call: Call) -> None:
    access, connection = call.gateway.access, scope.connection
    for target, relation, future in _objects(statement, scope):
        for name, columns in statement.privileges:
            privilege = Privilege(name)
            fields = _fields(relation, columns, privilege)
            decision = may_grant(
                scope.facts, scope.roles, privilege, target, columns=frozenset(fields)
            )
            if target.id not in scope.own and not decision.allowed:
                raise PermissionDenied(
                    f"granting {privilege} on {_shown(statement, relation)} needs OWNERSHIP of "
                    "it, or the grant option"
                )
            if future:
                assert target.schema_id is not None
                change_future = access.revoke_future if statement.revoke else access.grant_future
                change_future(connection, target.schema_id, privilege, target.kind, statement.role)
            elif statement.revoke:
                access.revoke(connection, statement.role, privilege, target.kind, target.id, fields)
            else:
                access.grant(
                    connection,
                    statement.role,
                    privilege,
                    target.kind,
                    target.id,
                    fields,
                    grant_option=statement.grant_option,
                )


def _objects(
    statement: s.GrantPrivileges, scope: Scope
) -> list[tuple[Target, Relation | None, bool]]:
    """What a GRANT is on: targets, with the relation where there is one, and if in future."""
    on = statement.on
    if on == "LAKE":
        return [(Target(ObjectKind.LAKE, None, None), None, False)]
    if on == "SCHEMA":
        identity = scope.schema_id(scope.schema_name(statement.name))
        return [(Target(ObjectKind.SCHEMA, identity, identity), None, False)]
    if on.startswith("FUTURE"):
        identity = scope.schema_id(scope.schema_name(statement.name))
        kind = ObjectKind.VIEW if on.endswith("VIEWS") else ObjectKind.TABLE
        return [(Target(kind, None, identity), None, True)]
    if on.startswith("ALL"):
        identity = scope.schema_id(scope.schema_name(statement.name))
        wanted = "view" if on.endswith("VIEWS") else "table"
        found = scope.catalog.relations(scope.connection, [identity])
        return [(target_of(item), item, False) for item in found if item.kind == wanted]
    name = scope.table_name(statement.name)
    if fold(name.schema) in SYSTEM_SCHEMAS:
        return [(_system(name), None, False)]
    relation = scope.relation(statement.name, on.lower())
    return [(target_of(relation), relation, False)]


def _system(name: TableName) -> Target:
    if name.key != LEDGER.key:
        raise PermissionDenied(
            f"{name} is the platform's; everyone sees in it what concerns them",
            hint=f"{LEDGER} can be granted",
        )
    return Target(ObjectKind.TABLE, LEDGER_ID, SYSTEM_SCHEMA_ID)


def _fields(
    relation: Relation | None, columns: tuple[str, ...], privilege: Privilege
) -> tuple[int, ...]:
    if not columns:
        return ()
    if relation is None or privilege not in _COLUMN_PRIVILEGES:
        raise InvalidRequest(
            f"{privilege} cannot be granted on columns", hint="SELECT, INSERT and UPDATE can"
        )
    known = {fold(column.name): column.field_id for column in relation.columns}
    for name in columns:
        if fold(name) not in known:
            raise UndefinedColumn(f'column "{name}" of {relation.name} does not exist')
    return tuple(known[fold(name)] for name in columns)


def _shown(statement: s.GrantPrivileges, relation: Relation | None) -> str:
    return str(relation.name) if relation else " ".join((statement.on.lower(), *statement.name))


def show_grants(call: Call) -> Result:
    """SHOW GRANTS: on an object (for its owner), or to a role (for who has it, or an admin)."""
    statement = call.statement
    assert isinstance(statement, s.ShowGrants)
    access = call.gateway.access
    with call.gateway.snapshot(call.state) as scope:
        effective = scope.facts.effective_roles(scope.roles)
        admin = ADMIN_ROLE in effective
        if statement.to_user is not None:
            own = fold(statement.to_user) == fold(scope.session.principal.name)
            if not (admin or own):
                raise PermissionDenied(f"the grants of {statement.to_user} are not yours to see")
            held = frozenset(access.roles_of_user(scope.connection, statement.to_user))
            names = scope.facts.effective_roles(held)
            rows = [row for name in sorted(names) for row in access.grants(scope.connection, name)]
        elif statement.to_role is not None:
            if not (admin or statement.to_role in effective):
                raise PermissionDenied(f"the grants of {statement.to_role} are not yours to see")
            rows = access.grants(scope.connection, statement.to_role)
        elif statement.on is not None:
            rows = _grants_on(statement, scope, call)
        else:
            names = effective
            rows = [row for name in sorted(names) for row in access.grants(scope.connection, name)]
        shown = _named(rows, scope)
        call.gateway.recorder.open(call.running, scope.connection)
    columns = ("role", "privilege", "on", "name", "column", "grant_option", "future")
    kinds = ("VARCHAR",) * 5 + ("BOOLEAN",) * 2
    return call.answer(Answer.of(columns, shown, kinds))


def _grants_on(statement: s.ShowGrants, scope: Scope, call: Call) -> list[GrantRow]:
    as_grant = s.GrantPrivileges((), statement.on or "TABLE", statement.name, "")
    rows: list[GrantRow] = []
    for target, _, _ in _objects(as_grant, scope):
        if not scope.decide(Privilege.OWNERSHIP, target).allowed:
            raise PermissionDenied("the grants on an object are shown to its owner")
        rows += call.gateway.access.grants(scope.connection, None, target.id)
    return rows


def _named(rows: list[GrantRow], scope: Scope) -> list[tuple[object, ...]]:
    """Grants with the names of what they are on; what the session may not know is left out."""
    relations = {item.id: item for item in scope.visible_relations()}
    schemas = {
        item.id: item.name
        for item in scope.catalog.schemas(scope.connection, transaction=scope.transaction)
    }
    found: list[tuple[object, ...]] = []
    for row in rows:
        name = _object_name(row.object_id, relations, schemas)
        if name is None and row.object_id is not None:
            continue
        relation = relations.get(row.object_id) if row.object_id else None
        fields = {column.field_id: column.name for column in relation.columns} if relation else {}
        column = fields.get(row.field_id) if row.field_id is not None else None
        found.append(
            (
                row.role,
                str(row.privilege),
                str(row.kind),
                name or "",
                column,
                row.grant_option,
                row.future,
            )
        )
    return found


def _object_name(
    identity: UUID | None, relations: dict[UUID, Relation], schemas: dict[UUID, str]
) -> str | None:
    if identity is None:
        return "lake"
    if identity in relations:
        return str(relations[identity].name)
    if identity == LEDGER_ID:
        return str(LEDGER)
    return schemas.get(identity)
