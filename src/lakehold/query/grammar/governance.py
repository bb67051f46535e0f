"""Principals, roles and grants, in Snowflake's and PostgreSQL's words."""

from __future__ import annotations

from lakehold.errors import StatementNotSupported
from lakehold.query.grammar.cursor import Cursor
from lakehold.query.statements import (
    CreateRole,
    CreateUser,
    DropRole,
    DropUser,
    GrantPrivileges,
    GrantRole,
    SetRole,
    Show,
    ShowGrants,
    Statement,
    Use,
)

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "USAGE", "OWNERSHIP")
_SHOWN = ("TABLES", "ALL TABLES", "SCHEMAS", "DATABASES", "VIEWS", "ROLES", "USERS", "COLUMNS")


def create_principal(cursor: Cursor) -> Statement:
    """``CREATE {ROLE | USER} [IF NOT EXISTS] name``."""
    cursor.expect("CREATE")
    what = cursor.take_one("ROLE", "USER")
    missing = cursor.take("IF", "NOT", "EXISTS")
    name = cursor.name(what.lower())
    cursor.finish()
    return CreateRole(name, missing) if what == "ROLE" else CreateUser(name, missing)


def drop_principal(cursor: Cursor) -> Statement:
    """``DROP {ROLE | USER} [IF EXISTS] name``."""
    cursor.expect("DROP")
    what = cursor.take_one("ROLE", "USER")
    exists = cursor.take("IF", "EXISTS")
    name = cursor.name(what.lower())
    cursor.finish()
    return DropRole(name, exists) if what == "ROLE" else DropUser(name, exists)


def grant(cursor: Cursor) -> Statement:
    """GRANT or REVOKE, of a role or of privileges."""
    revoke = cursor.take("REVOKE")
    if not revoke:
        cursor.expect("GRANT")
    toward = "FROM" if revoke else "TO"
    if cursor.take("ROLE"):
        role = cursor.name("role")
        cursor.expect(toward)
        kind = cursor.take_one("USER", "ROLE")
        if not kind:
            cursor.fail("expected USER or ROLE")
        grantee = cursor.name(kind.lower())
        cursor.finish()
        return GrantRole(role, grantee, kind == "USER", revoke)
    privileges = [_privilege(cursor)]
    while cursor.take(","):
        privileges.append(_privilege(cursor))
    if any(name == "ALL" for name, _ in privileges):
        privileges = [(name, ()) for name in PRIVILEGES if name not in ("OWNERSHIP", "CREATE")]
    cursor.expect("ON")
    on, name = _object(cursor)
    cursor.expect(toward)
    cursor.take("ROLE")
    if cursor.looks_at("USER") and cursor.word(1):
        raise StatementNotSupported(
            "privileges are granted to roles", hint="GRANT ROLE r TO USER u; GRANT … TO ROLE r"
        )
    role = cursor.name("role")
    option = cursor.take("WITH", "GRANT", "OPTION")
    cursor.take_one("CASCADE", "RESTRICT")
    cursor.finish()
    return GrantPrivileges(tuple(privileges), on, name, role, revoke, option)


def _privilege(cursor: Cursor) -> tuple[str, tuple[str, ...]]:
    if cursor.take("ALL"):
        cursor.take("PRIVILEGES")
        return "ALL", ()
    name = cursor.take_one(*PRIVILEGES)
    if not name:
        cursor.fail(f"expected a privilege ({', '.join(PRIVILEGES)} or ALL)")
    columns = cursor.names() if cursor.looks_at("(") else ()
    return name, columns


def _object(cursor: Cursor) -> tuple[str, tuple[str, ...]]:
    if cursor.take("LAKE") or cursor.take("ACCOUNT"):
        return "LAKE", ()
    for scope in ("ALL", "FUTURE"):
        if cursor.take(scope):
            what = cursor.take_one("TABLES", "VIEWS")
            if not what:
                cursor.fail("expected TABLES or VIEWS")
            cursor.expect("IN", "SCHEMA")
            return f"{scope} {what}", cursor.path("schema")
    kind = cursor.take_one("SCHEMA", "TABLE", "VIEW") or "TABLE"
    return kind, cursor.path(kind.lower())


def show(cursor: Cursor) -> Statement:
    """SHOW GRANTS, TABLES, SCHEMAS, VIEWS, COLUMNS, ROLES, USERS."""
    cursor.expect("SHOW")
    if cursor.take("GRANTS"):
        return _show_grants(cursor)
    what = cursor.take_one(*_SHOWN)
    if not what:
        raise StatementNotSupported(
            f"SHOW {cursor.word() or ''} is not supported",
            hint="SHOW TABLES, SCHEMAS, VIEWS, COLUMNS FROM t, ROLES, USERS, GRANTS",
        )
    schema = cursor.path("name") if cursor.take_one("FROM", "IN SCHEMA", "IN") else None
    like = cursor.string("a pattern in quotes") if cursor.take("LIKE") else None
    cursor.finish()
    return Show({"DATABASES": "SCHEMAS"}.get(what, what), schema, like)


def _show_grants(cursor: Cursor) -> ShowGrants:
    on: str | None = None
    name: tuple[str, ...] = ()
    role: str | None = None
    user: str | None = None
    if cursor.take("ON"):
        on, name = _object(cursor)
    if cursor.take("TO") or cursor.take("OF"):
        kind = cursor.take_one("ROLE", "USER") or "ROLE"
        grantee = cursor.name(kind.lower())
        role, user = (grantee, None) if kind == "ROLE" else (None, grantee)
    cursor.finish()
    return ShowGrants(on, name, role, user)


def use(cursor: Cursor) -> Statement:
    """``USE [SCHEMA] s``, ``SET schema = s``, ``SET ROLE {r | ALL}``, ``USE ROLE r``."""
    if cursor.take("SET", "ROLE") or cursor.take("USE", "ROLE"):
        role = None if cursor.take("ALL") else cursor.name("role")
        cursor.finish()
        return SetRole(role)
    if cursor.take("USE"):
        cursor.take("SCHEMA")
        schema = cursor.path("schema")
        cursor.finish()
        return Use(schema)
    cursor.expect("SET")
    if cursor.take_one("SCHEMA", "SEARCH_PATH"):
        if not cursor.take("="):
            cursor.expect("TO")
        if not cursor.ended and cursor.tokens[cursor.at].text.startswith("'"):
            name: tuple[str, ...] = (cursor.string(),)
        else:
            name = cursor.path("schema")
        cursor.finish()
        return Use(name)
    raise StatementNotSupported(
        f"SET {cursor.word() or 'this'} is not supported", hint="SET schema and SET ROLE are"
    )
