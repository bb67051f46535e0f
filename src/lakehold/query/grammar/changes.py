"""INSERT, UPDATE, DELETE, MERGE, TRUNCATE."""

from __future__ import annotations

from lakehold.errors import StatementNotSupported
from lakehold.query.grammar.cursor import Cursor
from lakehold.query.statements import Delete, Insert, Merge, MergeClause, Truncate, Update

_QUERY_STARTS = ("SELECT", "VALUES", "FROM", "WITH", "TABLE", "(", "PIVOT", "UNPIVOT")


def common_tables(cursor: Cursor) -> str:
    """``WITH a AS (…), b AS (…)`` before the statement itself; empty if there is none."""
    if not cursor.looks_at("WITH"):
        return ""
    return cursor.until("INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "FROM", "VALUES")


def insert(cursor: Cursor, ctes: str) -> Insert:
    """``INSERT INTO t [(a, b)] [BY NAME | BY POSITION] {query | DEFAULT VALUES}``."""
    if cursor.take("INSERT", "OR"):
        raise StatementNotSupported("INSERT OR is not supported", hint="use MERGE INTO")
    cursor.expect("INSERT", "INTO")
    target = cursor.path("table")
    columns: tuple[str, ...] | None = None
    if cursor.looks_at("(") and cursor.word(1) not in _QUERY_STARTS:
        columns = cursor.names()
    by_name = cursor.take("BY", "NAME")
    if not by_name:
        cursor.take("BY", "POSITION")
    if cursor.take("DEFAULT", "VALUES"):
        cursor.finish()
        return Insert(target, columns, None)
    query = cursor.expression("VALUES or a query", "ON CONFLICT", "RETURNING")
    if cursor.looks_at("ON", "CONFLICT"):
        raise StatementNotSupported(
            "ON CONFLICT is not supported: lake tables have no keys", hint="use MERGE INTO"
        )
    _no_returning(cursor)
    cursor.finish()
    if ctes:
        query = f"{ctes} {query}"
    return Insert(target, columns, query, by_name)


def update(cursor: Cursor, ctes: str) -> Update:
    """``UPDATE t [[AS] a] SET c = e, … [FROM …] [WHERE …]``."""
    cursor.expect("UPDATE")
    target = cursor.path("table")
    alias = _alias(cursor, "SET")
    cursor.expect("SET")
    assignments = [_assignment(cursor, "FROM", "WHERE", "RETURNING")]
    while cursor.take(","):
        assignments.append(_assignment(cursor, "FROM", "WHERE", "RETURNING"))
    sources = cursor.expression("a table", "WHERE", "RETURNING") if cursor.take("FROM") else None
    where = cursor.expression("a condition", "RETURNING") if cursor.take("WHERE") else None
    _no_returning(cursor)
    cursor.finish()
    return Update(target, alias, tuple(assignments), sources, where, ctes)


def delete(cursor: Cursor, ctes: str) -> Delete:
    """``DELETE FROM t [[AS] a] [USING …] [WHERE …]``."""
    cursor.expect("DELETE", "FROM")
    target = cursor.path("table")
    alias = _alias(cursor, "USING", "WHERE", "RETURNING")
    sources = cursor.expression("a table", "WHERE", "RETURNING") if cursor.take("USING") else None
    where = cursor.expression("a condition", "RETURNING") if cursor.take("WHERE") else None
    _no_returning(cursor)
    cursor.finish()
    return Delete(target, alias, sources, where, ctes)


def merge(cursor: Cursor, ctes: str) -> Merge:
    """``MERGE INTO t USING s {ON … | USING (…)} WHEN …``."""
    cursor.expect("MERGE", "INTO")
    target = cursor.path("table")
    alias = _alias(cursor, "USING")
    cursor.expect("USING")
    source = cursor.expression("a table or query", "ON", "USING", "WHEN")
    on: str | None = None
    using: tuple[str, ...] = ()
    if cursor.take("ON"):
        on = cursor.expression("a condition", "WHEN")
    else:
        cursor.expect("USING")
        using = cursor.names()
    clauses = []
    while cursor.take("WHEN"):
        clauses.append(_merge_clause(cursor))
    if not clauses:
        cursor.fail("expected WHEN")
    _no_returning(cursor)
    cursor.finish()
    return Merge(target, alias, source, on, using, tuple(clauses), ctes)


def _merge_clause(cursor: Cursor) -> MergeClause:
    match = cursor.take_one("MATCHED", "NOT MATCHED")
    if not match:
        cursor.fail("expected MATCHED or NOT MATCHED")
    if cursor.take("BY", "SOURCE"):
        match = "NOT MATCHED BY SOURCE"
    elif cursor.take("BY", "TARGET"):
        match = "NOT MATCHED"
    condition = cursor.expression("a condition", "THEN") if cursor.take("AND") else None
    cursor.expect("THEN")
    action = cursor.take_one("UPDATE", "INSERT", "DELETE", "DO NOTHING", "ERROR")
    if action in ("", "ERROR"):
        cursor.fail("expected UPDATE, INSERT, DELETE or DO NOTHING")
    if action == "UPDATE" and cursor.take("SET"):
        if cursor.take("*"):
            return MergeClause(match, condition, action, by_name=True)
        pairs = [_assignment(cursor, "WHEN", "RETURNING")]
        while cursor.take(","):
            pairs.append(_assignment(cursor, "WHEN", "RETURNING"))
        columns, values = zip(*pairs, strict=True)
        return MergeClause(match, condition, action, columns, values)
    if action == "INSERT" and (cursor.looks_at("(") or cursor.looks_at("VALUES")):
        columns = cursor.names() if cursor.looks_at("(") else ()
        cursor.expect("VALUES")
        return MergeClause(match, condition, action, columns, cursor.bracketed())
    by_name = cursor.take("BY", "NAME") or cursor.take("*")
    return MergeClause(match, condition, action, by_name=by_name)


def truncate(cursor: Cursor) -> Truncate:
    """``TRUNCATE [TABLE] t``."""
    cursor.expect("TRUNCATE")
    cursor.take("TABLE")
    target = cursor.path("table")
    cursor.finish()
    return Truncate(target)


def _assignment(cursor: Cursor, *stops: str) -> tuple[str, str]:
    path = cursor.path("column")
    if len(path) > 2:
        raise StatementNotSupported("a field of a struct cannot be set on its own")
    cursor.expect("=")
    return path[-1], cursor.expression("a value", ",", *stops)


def _alias(cursor: Cursor, *stops: str) -> str | None:
    if cursor.take("AS"):
        return cursor.name("alias")
    if cursor.ended or any(cursor.looks_at(stop) for stop in stops):
        return None
    return cursor.name("alias")


def _no_returning(cursor: Cursor) -> None:
    if cursor.looks_at("RETURNING"):
        raise StatementNotSupported(
            "RETURNING is not supported on lake tables", hint="read the rows back with SELECT"
        )
