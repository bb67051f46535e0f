"""CREATE, DROP, ALTER and COMMENT: what the engine's Iceberg extension lacks, our catalog does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from lakehold.catalog import LakeTransaction, Pointer, Relation
from lakehold.engines.duckdb import DuckDBParser
from lakehold.errors import (
    DuplicateTable,
    InvalidDefinition,
    PermissionDenied,
    StatementNotSupported,
    UndefinedObject,
    UndefinedTable,
)
from lakehold.names import SYSTEM_SCHEMAS, TableName, check_name
from lakehold.policy import Privilege
from lakehold.query import statements as s
from lakehold.query import tables
from lakehold.query.altering import alter, set_table_properties
from lakehold.query.changing import insert_plan
from lakehold.query.execution import Call
from lakehold.query.names import table_references
from lakehold.query.result import Result
from lakehold.query.scope import Scope
from lakehold.query.tree import fold, is_expression, walk
from lakehold.query.verification import check_user_tree
from lakehold.query.writing import describe_query, in_transaction, write


def create_table(call: Call) -> Result:
    """CREATE [OR REPLACE] TABLE, with columns or AS a query; all of it or nothing."""
    statement = call.statement
    assert isinstance(statement, s.CreateTable)
    inputs = frozenset(fold(name) for name in call.relations)

    def work(transaction: LakeTransaction) -> int | None:
        columns = list(statement.columns)
        if statement.query is not None:
            described = describe_query(call, statement.query, inputs)
            columns = _named(described, columns)
        system = call.gateway.system()
        with call.gateway.snapshot(call.state, system, inputs) as scope:
            name = scope.table_name(statement.name)
            if not _may_create(name, "table", statement.or_replace, statement.if_not_exists, scope):
                return None
            call.gateway.recorder.open(call.running, scope.connection)
            for column in columns:
                if column.default is not None:
                    check_default(column.default, column.type, call)
            replaced = _replaced(name, transaction, scope)
            made = tables.create(transaction, name, columns, statement)
            call.running.writes.add(made.name)
            plan = None
            if statement.query is not None and statement.with_data:
                plan = insert_plan(statement.query, list(made.columns), made, scope)
                if scope.transaction is not None and plan.dependencies.keys() & replaced.keys():
                    raise StatementNotSupported(
                        "within a transaction a table cannot be replaced by a query of itself",
                        hint="do it in a statement alone, or by way of another table",
                    )
        if plan is None:
            return None
        call.running.reads.update(plan.reads)
        return write(call, transaction, made, plan, system, replaced)

    return in_transaction(call, work)


def _replaced(
    name: TableName, transaction: LakeTransaction, scope: Scope
) -> Mapping[UUID, Pointer]:
    """The table that is about to be replaced, as the query that fills the new one reads it."""
    found = scope.catalog.resolve(scope.connection, [name], transaction=scope.transaction)
    ids = [relation.id for relation in found.values() if relation.kind == "table"]
    transaction.lock(ids)
    return dict(transaction.pointers(ids))


def _named(
    described: list[tuple[str, str]], columns: list[s.ColumnDefinition]
) -> list[s.ColumnDefinition]:
    """The columns of CREATE TABLE … AS: the query's, under the names that were given."""
    if columns:
        raise StatementNotSupported(
            "CREATE TABLE … AS takes its columns from the query", hint="name them there with AS"
        )
    names = [fold(name) for name, _ in described]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InvalidDefinition(
            f"two columns are named {', '.join(sorted(twice))}", hint="give each a name with AS"
        )
    return [s.ColumnDefinition(name, kind) for name, kind in described]


def _may_create(name: TableName, what: str, replace: bool, missing: bool, scope: Scope) -> bool:
    """Whether to go on; false if it is there and IF NOT EXISTS was said.

    Raises:
        PermissionDenied, UndefinedSchema, DuplicateTable
    """
    if fold(name.schema) in SYSTEM_SCHEMAS:
        raise PermissionDenied(f"schema {name.schema} belongs to the platform")
    check_name(name.table, f"{what} name")
    scope.require_on_schema(name.schema, Privilege.CREATE)
    found = scope.catalog.resolve(scope.connection, [name], transaction=scope.transaction)
    existing = found.get(name)
    if existing is None:
        return True
    if missing:
        return False
    if not replace:
        raise DuplicateTable(f"there is a {existing.kind} {name} already")
    scope.require(existing, Privilege.OWNERSHIP)
    return True


def define(call: Call) -> Result:
    """Every definition but CREATE TABLE."""
    statement = call.statement

    def work(transaction: LakeTransaction) -> None:
        described: list[tuple[str, str]] = []
        if isinstance(statement, s.CreateView):
            _check_view(statement, call.gateway.parser)
            described = describe_query(call, statement.query)
        with call.gateway.snapshot(call.state) as scope:
            _define(statement, described, transaction, scope, call)
            call.gateway.recorder.open(call.running, scope.connection)

    return in_transaction(call, work)


def _define(
    statement: s.Statement,
    described: list[tuple[str, str]],
    transaction: LakeTransaction,
    scope: Scope,
    call: Call,
) -> None:
    match statement:
        case s.CreateSchema():
            _create_schema(statement, transaction, scope)
        case s.DropSchema():
            _drop_schema(statement, transaction, scope)
        case s.CreateView():
            _create_view(statement, described, transaction, scope, call)
        case s.Drop():
            _drop(statement, transaction, scope, call)
        case s.AlterTable():
            _alter(statement, transaction, scope, call)
        case s.CommentOn():
            _comment(statement, transaction, scope, call)
        case _:
            raise StatementNotSupported(f"{statement.kind} is not supported")


def _create_schema(statement: s.CreateSchema, transaction: LakeTransaction, scope: Scope) -> None:
    scope.require_on_lake(Privilege.CREATE)
    name = scope.schema_name(statement.name)
    if fold(name) in SYSTEM_SCHEMAS:
        raise InvalidDefinition(f"schema {name} belongs to the platform")
    known = scope.catalog.schema(scope.connection, name, transaction=scope.transaction)
    if known is not None and statement.if_not_exists:
        return
    properties = {} if statement.comment is None else {"comment": statement.comment}
    transaction.create_schema(name, properties)


def _drop_schema(statement: s.DropSchema, transaction: LakeTransaction, scope: Scope) -> None:
    name = scope.schema_name(statement.name)
    try:
        identity = scope.require_on_schema(name, Privilege.OWNERSHIP)
    except UndefinedObject:
        if statement.if_exists:
            return
        raise
    if statement.cascade:
        inside = scope.catalog.relations(
            scope.connection, [identity], transaction=scope.transaction
        )
        for relation in inside:
            transaction.drop(relation.name, relation.kind)
    transaction.drop_schema(name)


def _check_view(statement: s.CreateView, parser: DuckDBParser) -> None:
    tree = parser.tree(statement.query)
    if any(is_expression(node, "PARAMETER") for node in walk(tree)):
        raise InvalidDefinition("a view cannot hold parameters")


def _create_view(
    statement: s.CreateView,
    described: list[tuple[str, str]],
    transaction: LakeTransaction,
    scope: Scope,
    call: Call,
) -> None:
    from lakehold.query.gateway import owner_role

    name = scope.table_name(statement.name)
    if not _may_create(name, "view", statement.or_replace, statement.if_not_exists, scope):
        return
    for reference in table_references(scope.parser.tree(statement.query)):
        path = (reference.schema, reference.table) if reference.schema else (reference.table,)
        if scope.table_name(path) == name:
            raise InvalidDefinition(f"view {name} would stand on itself")
    names = statement.columns or tuple(column for column, _ in described)
    if len(names) != len(described):
        raise InvalidDefinition(
            f"the view names {len(names)} columns and its query has {len(described)}"
        )
    if len({fold(item) for item in names}) != len(names):
        raise InvalidDefinition("two columns of the view have one name", hint="name them with AS")
    columns = [(item, kind) for item, (_, kind) in zip(names, described, strict=True)]
    made = transaction.create_view(
        name,
        statement.query.strip(),
        columns,
        rights="definer" if statement.definer else "invoker",
        owner=owner_role(scope.session),
        schema=scope.schema,
        comment=statement.comment,
        replace=statement.or_replace,
    )
    call.running.writes.add(made.name)


def _drop(statement: s.Drop, transaction: LakeTransaction, scope: Scope, call: Call) -> None:
    relation = _owned(statement.name, statement.what.lower(), statement.if_exists, scope)
    if relation is None:
        return
    if relation.kind != statement.what.lower():
        raise UndefinedTable(
            f"{relation.name} is a {relation.kind}", hint=f"DROP {relation.kind.upper()}"
        )
    transaction.lock([relation.id])
    call.running.writes.add(relation.name)
    transaction.drop(relation.name, relation.kind, statement.purge)


def _alter(statement: s.AlterTable, transaction: LakeTransaction, scope: Scope, call: Call) -> None:
    what = "view" if statement.view else "table"
    relation = _owned(statement.name, what, statement.if_exists, scope)
    if relation is None:
        return
    if relation.kind != what:
        raise UndefinedTable(f"{relation.name} is a {relation.kind}, not a {what}")
    for text, kind in _defaults(statement, relation):
        check_default(text, kind, call)
    transaction.lock([relation.id])
    call.running.writes.add(relation.name)
    alter(statement, relation, transaction)


def _defaults(statement: s.AlterTable, relation: Relation) -> list[tuple[str, str]]:
    if statement.definition is not None and statement.definition.default is not None:
        return [(statement.definition.default, statement.definition.type)]
    if statement.action == "SET DEFAULT" and statement.value is not None:
        named = {fold(column.name): column.type for column in relation.columns}
        kind = named.get(fold(statement.column[-1]))
        return [] if kind is None else [(statement.value, kind)]
    return []


def _comment(
    statement: s.CommentOn, transaction: LakeTransaction, scope: Scope, call: Call
) -> None:
    if statement.what == "SCHEMA":
        name = scope.schema_name(statement.name)
        scope.require_on_schema(name, Privilege.OWNERSHIP)
        if statement.comment is None:
            transaction.set_schema_properties(name, {}, ["comment"])
        else:
            transaction.set_schema_properties(name, {"comment": statement.comment})
        return
    path = statement.name[:-1] if statement.what == "COLUMN" else statement.name
    if not path:
        raise UndefinedTable("COMMENT ON COLUMN takes table.column")
    relation = _owned(path, "table", False, scope)
    assert relation is not None
    transaction.lock([relation.id])
    call.running.writes.add(relation.name)
    if statement.what == "COLUMN":
        from lakehold.query.altering import comment_column

        comment_column(transaction, relation, statement.name[-1], statement.comment)
    else:
        values = {} if statement.comment is None else {"comment": statement.comment}
        set_table_properties(transaction, relation, values, () if values else ("comment",))


def _owned(path: s.Path, what: str, if_exists: bool, scope: Scope) -> Relation | None:
    """A relation that the session owns; ``None`` if there is none and IF EXISTS was said."""
    name = scope.table_name(path)
    if fold(name.schema) in SYSTEM_SCHEMAS:
        raise PermissionDenied(f"{name} belongs to the platform")
    try:
        relation = scope.relation(path, what)
    except UndefinedObject:
        if if_exists:
            return None
        raise
    scope.require(relation, Privilege.OWNERSHIP)
    return relation


def check_default(text: str, kind: str, call: Call) -> None:
    """A default must be a constant expression that fits its column.

    Raises:
        InvalidDefinition, InvalidValue
    """
    parser = call.gateway.parser
    tree = parser.tree(f"SELECT ({text}\n)")
    check_user_tree(tree)
    node: dict[str, Any] = tree["node"]
    source = node.get("from_table") or {}
    if (
        table_references(tree)
        or len(node["select_list"]) != 1
        or source.get("type") not in (None, "EMPTY")
        or any(is_expression(item, "SUBQUERY") for item in walk(tree))
        or any(is_expression(item, "COLUMN_REF") for item in walk(tree))
        or any(is_expression(item, "PARAMETER") for item in walk(tree))
    ):
        raise InvalidDefinition(f"a default is a constant expression, not {text}")
    written = parser.text(tree).removeprefix("SELECT ")
    call.gateway.engine.run(f"SELECT CAST(({written}) AS {kind})").start().rows()
