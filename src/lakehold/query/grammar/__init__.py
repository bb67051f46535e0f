"""From a text to exactly one ``Statement``.

DuckDB's lexer makes the tokens and DuckDB's parser reads every query and expression, so that
what is checked is what runs. Only the envelope of a statement (INSERT INTO t …, GRANT …) is
read here.
"""

from __future__ import annotations

from collections.abc import Callable

from lakehold.engines.duckdb import DuckDBParser
from lakehold.errors import InvalidRequest, StatementNotSupported, SyntaxInvalid
from lakehold.query.grammar import changes, definitions, governance
from lakehold.query.grammar.cursor import Cursor
from lakehold.query.statements import (
    Begin,
    Commit,
    Describe,
    DynamicPivot,
    Explain,
    Rollback,
    Select,
    Statement,
)

_QUERY_WORDS = frozenset("SELECT FROM VALUES TABLE WITH ( SUMMARIZE PIVOT UNPIVOT".split())


def parse(text: str, parser: DuckDBParser) -> Statement:
    """Read one statement.

    Raises:
        SyntaxInvalid: with a position.
        StatementNotSupported: by name, for what is understood and refused.
        InvalidRequest: for an empty text or a NUL.
    """
    if "\0" in text:
        raise InvalidRequest("a statement cannot hold a NUL character")
    tokens = parser.tokens(text)
    cursor = Cursor(text, tokens)
    if cursor.ended:
        raise SyntaxInvalid("the statement is empty", position=1)
    if any(token.text == ";" for token in cursor.tokens):
        raise StatementNotSupported(
            "one statement at a time", hint="send the statements one after another"
        )
    return _statement(cursor, parser)


def _statement(cursor: Cursor, parser: DuckDBParser) -> Statement:
    word = cursor.word()
    if word == "WITH":
        return _with(cursor, parser)
    if word in _QUERY_WORDS:
        return _query(cursor, parser)
    if word == "EXPLAIN":
        cursor.take("EXPLAIN")
        analyze = cursor.take("ANALYZE")
        return Explain(_statement(_onward(cursor), parser), analyze)
    if word in ("DESCRIBE", "DESC"):
        return _describe(cursor)
    for words, rule in _RULES:
        if cursor.looks_at(*words):
            return rule(cursor)
    if word in ("INSERT", "UPDATE", "DELETE", "MERGE"):
        return _CHANGES[word](cursor, "")
    _must_parse(cursor, parser)
    raise StatementNotSupported(f"{word or 'this statement'} is not supported")


def _onward(cursor: Cursor) -> Cursor:
    """The rest of a text as a text of its own, with positions kept by blanks."""
    if cursor.ended:
        cursor.fail("expected a statement")
    start = cursor.tokens[cursor.at].start
    return Cursor(" " * start + cursor.text[start:], cursor.tokens[cursor.at :])


def _with(cursor: Cursor, parser: DuckDBParser) -> Statement:
    ctes = changes.common_tables(cursor)
    word = cursor.word()
    if word in _CHANGES:
        return _CHANGES[word](cursor, ctes)
    cursor.at = 0
    return _query(cursor, parser)


def _query(cursor: Cursor, parser: DuckDBParser) -> Statement:
    if cursor.looks_at("PIVOT"):
        pivot = _dynamic_pivot(cursor)
        if pivot is not None:
            return pivot
    text = cursor.slice(cursor.at, len(cursor.tokens))
    return Select(" " * cursor.tokens[cursor.at].start + text)


def _dynamic_pivot(cursor: Cursor) -> DynamicPivot | None:
    """``PIVOT s ON c [USING a] [GROUP BY g] [ORDER BY …] [LIMIT …]`` without IN."""
    start = cursor.at
    cursor.expect("PIVOT")
    stops = ("USING", "GROUP BY", "ORDER BY", "LIMIT")
    source = cursor.expression("a table", "ON")
    if not cursor.take("ON"):
        cursor.at = start
        return None
    on = cursor.expression("a column", "IN", ",", *stops)
    if cursor.looks_at("IN") or cursor.looks_at(","):
        cursor.at = start
        return None
    using = cursor.expression("an aggregate", *stops[1:]) if cursor.take("USING") else ""
    group_by = cursor.expression("columns", *stops[2:]) if cursor.take("GROUP", "BY") else ""
    return DynamicPivot(source, on, using, group_by, cursor.rest())


def _describe(cursor: Cursor) -> Describe:
    cursor.take_one("DESCRIBE", "DESC")
    cursor.take("TABLE")
    if cursor.word() in _QUERY_WORDS:
        start = cursor.tokens[cursor.at].start
        return Describe(None, " " * start + cursor.rest())
    name = cursor.path("table")
    cursor.finish()
    return Describe(name)


def _transaction(statement: Statement) -> Callable[[Cursor], Statement]:
    def rule(cursor: Cursor) -> Statement:
        cursor.at += 1
        cursor.take_one("TRANSACTION", "WORK")
        cursor.finish()
        return statement

    return rule


def _must_parse(cursor: Cursor, parser: DuckDBParser) -> None:
    """Tell a statement that is refused from one that is no statement at all."""
    parser.statements(cursor.text)


_CHANGES: dict[str, Callable[[Cursor, str], Statement]] = {
    "INSERT": changes.insert,
    "UPDATE": changes.update,
    "DELETE": changes.delete,
    "MERGE": changes.merge,
}

_RULES: tuple[tuple[tuple[str, ...], Callable[[Cursor], Statement]], ...] = (
    (("CREATE", "ROLE"), governance.create_principal),
    (("CREATE", "USER"), governance.create_principal),
    (("DROP", "ROLE"), governance.drop_principal),
    (("DROP", "USER"), governance.drop_principal),
    (("GRANT",), governance.grant),
    (("REVOKE",), governance.grant),
    (("SHOW",), governance.show),
    (("USE",), governance.use),
    (("SET",), governance.use),
    (("CREATE",), definitions.create),
    (("DROP",), definitions.drop),
    (("ALTER",), definitions.alter),
    (("COMMENT",), definitions.comment_on),
    (("TRUNCATE",), changes.truncate),
    (("BEGIN",), _transaction(Begin())),
    (("START",), _transaction(Begin())),
    (("COMMIT",), _transaction(Commit())),
    (("END",), _transaction(Commit())),
    (("ROLLBACK",), _transaction(Rollback())),
    (("ABORT",), _transaction(Rollback())),
)
