"""CREATE, DROP, ALTER and COMMENT for schemas, tables and views."""

from __future__ import annotations

from lakehold.errors import StatementNotSupported
from lakehold.query.grammar.cursor import Cursor
from lakehold.query.statements import (
    AlterTable,
    ColumnDefinition,
    CommentOn,
    CreateSchema,
    CreateTable,
    CreateView,
    Drop,
    DropSchema,
    Statement,
)

_AFTER_TYPE = ("NOT", "NULL", "DEFAULT", "COMMENT", "PRIMARY", "UNIQUE", "CHECK", "REFERENCES",
               "GENERATED", "COLLATE", "CONSTRAINT", "USING", "AS", ",")  # fmt: skip
_CONSTRAINTS = ("PRIMARY", "UNIQUE", "CHECK", "REFERENCES", "FOREIGN", "CONSTRAINT", "GENERATED",
                "COLLATE", "AS")  # fmt: skip


def create(cursor: Cursor) -> Statement:
    """CREATE SCHEMA, TABLE or VIEW."""
    cursor.expect("CREATE")
    replace = cursor.take("OR", "REPLACE")
    if cursor.take("SCHEMA"):
        if replace:
            raise StatementNotSupported("CREATE OR REPLACE SCHEMA is not supported")
        missing = cursor.take("IF", "NOT", "EXISTS")
        name = cursor.path("schema")
        comment = _comment(cursor)
        cursor.finish()
        return CreateSchema(name, missing, comment)
    if cursor.take("TABLE"):
        return _table(cursor, replace)
    definer = cursor.take("DEFINER") or cursor.take("SECURE")
    if cursor.take("VIEW"):
        return _view(cursor, replace, definer)
    what = cursor.word() or "this"
    raise StatementNotSupported(
        f"CREATE {what} is not supported",
        hint="SCHEMA, TABLE, VIEW, ROLE and USER can be created",
    )


def _table(cursor: Cursor, replace: bool) -> CreateTable:
    missing = cursor.take("IF", "NOT", "EXISTS")
    name = cursor.path("table")
    columns: list[ColumnDefinition] = []
    if cursor.take("("):
        columns.append(_column(cursor))
        while cursor.take(","):
            columns.append(_column(cursor))
        cursor.expect(")")
    partitioning: tuple[str, ...] = ()
    sort_order: tuple[str, ...] = ()
    comment: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    while not cursor.ended and not cursor.looks_at("AS"):
        if cursor.take("PARTITIONED", "BY") or cursor.take("PARTITION", "BY"):
            partitioning = cursor.bracketed()
        elif cursor.take("SORTED", "BY") or cursor.take("CLUSTER", "BY"):
            sort_order = cursor.bracketed()
        elif cursor.looks_at("COMMENT"):
            comment = _comment(cursor)
        elif cursor.take("WITH") or cursor.take("TBLPROPERTIES"):
            properties = _properties(cursor)
        else:
            cursor.fail("expected PARTITIONED BY, SORTED BY, COMMENT, WITH or AS")
    query, with_data = None, True
    if cursor.take("AS"):
        query = cursor.expression("a query", "WITH NO DATA", "WITH DATA")
        if cursor.take("WITH", "NO", "DATA"):
            with_data = False
        else:
            cursor.take("WITH", "DATA")
    elif not columns:
        cursor.fail("expected columns or AS")
    cursor.finish()
    return CreateTable(
        name, tuple(columns), query, partitioning, sort_order, properties, comment, replace,
        missing, with_data,
    )  # fmt: skip


def _column(cursor: Cursor) -> ColumnDefinition:
    if (
        cursor.word() in _CONSTRAINTS
        and cursor.word(1) in ("KEY", "(", "CHECK")
        or cursor.looks_at("CONSTRAINT")
    ):
        _refuse_constraint(cursor)
    name = cursor.name("column")
    type_text = cursor.expression("a type", *_AFTER_TYPE)
    not_null, default, comment = False, None, None
    while not cursor.ended and not cursor.looks_at(",") and not cursor.looks_at(")"):
        if cursor.take("NOT", "NULL"):
            not_null = True
        elif cursor.take("NULL"):
            not_null = False
        elif cursor.take("DEFAULT"):
            default = cursor.expression("a value", *_AFTER_TYPE)
        elif cursor.looks_at("COMMENT"):
            comment = _comment(cursor)
        else:
            _refuse_constraint(cursor)
    return ColumnDefinition(name, type_text, not_null, default, comment)


def _refuse_constraint(cursor: Cursor) -> None:
    if cursor.word() in _CONSTRAINTS:
        raise StatementNotSupported(
            f"{cursor.word()} is not supported on lake tables",
            hint="NOT NULL and DEFAULT are; lake tables have no keys",
        )
    cursor.fail("expected NOT NULL, DEFAULT or COMMENT")


def _view(cursor: Cursor, replace: bool, definer: bool) -> CreateView:
    missing = cursor.take("IF", "NOT", "EXISTS")
    name = cursor.path("view")
    columns = cursor.names() if cursor.looks_at("(") else ()
    comment: str | None = None
    while not cursor.looks_at("AS"):
        if cursor.looks_at("COMMENT"):
            comment = _comment(cursor)
        elif cursor.take("SQL", "SECURITY") or cursor.take("SECURITY"):
            rights = cursor.take_one("DEFINER", "INVOKER")
            if not rights:
                cursor.fail("expected DEFINER or INVOKER")
            definer = rights == "DEFINER"
        else:
            cursor.fail("expected AS")
    cursor.expect("AS")
    return CreateView(name, columns, cursor.rest(), replace, missing, definer, comment)


def drop(cursor: Cursor) -> Statement:
    """DROP SCHEMA, TABLE or VIEW."""
    cursor.expect("DROP")
    what = cursor.take_one("SCHEMA", "TABLE", "VIEW")
    if not what:
        raise StatementNotSupported(f"DROP {cursor.word() or 'this'} is not supported")
    if_exists = cursor.take("IF", "EXISTS")
    name = cursor.path(what.lower())
    if what == "SCHEMA":
        cascade = cursor.take("CASCADE")
        cursor.take("RESTRICT")
        cursor.finish()
        return DropSchema(name, if_exists, cascade)
    if cursor.take("CASCADE"):
        raise StatementNotSupported(
            "CASCADE is not supported here", hint="views do not hold tables; drop each by name"
        )
    cursor.take("RESTRICT")
    purge = cursor.take("PURGE")
    cursor.finish()
    return Drop(what, name, if_exists, purge)


def alter(cursor: Cursor) -> AlterTable:
    """ALTER TABLE or ALTER VIEW, one action."""
    cursor.expect("ALTER")
    what = cursor.take_one("TABLE", "VIEW")
    if not what:
        raise StatementNotSupported(f"ALTER {cursor.word() or 'this'} is not supported")
    if_exists = cursor.take("IF", "EXISTS")
    name = cursor.path("table")
    action = _alter_view(cursor, name) if what == "VIEW" else _alter_table(cursor, name)
    cursor.finish()
    from dataclasses import replace

    return replace(action, if_exists=if_exists, view=what == "VIEW")


def _alter_view(cursor: Cursor, name: tuple[str, ...]) -> AlterTable:
    cursor.expect("RENAME", "TO")
    return AlterTable(name, "RENAME", new_name=cursor.name("view"))


def _alter_table(cursor: Cursor, name: tuple[str, ...]) -> AlterTable:
    if cursor.take("ADD"):
        cursor.take("COLUMN")
        missing = cursor.take("IF", "NOT", "EXISTS")
        return AlterTable(name, "ADD COLUMN", definition=_column(cursor), if_column_missing=missing)
    if cursor.take("DROP"):
        cursor.take("COLUMN")
        exists = cursor.take("IF", "EXISTS")
        return AlterTable(name, "DROP COLUMN", cursor.path("column"), if_column_exists=exists)
    if cursor.take("RENAME"):
        if cursor.take("TO"):
            return AlterTable(name, "RENAME", new_name=cursor.name("table"))
        cursor.take("COLUMN")
        column = cursor.path("column")
        cursor.expect("TO")
        return AlterTable(name, "RENAME COLUMN", column, new_name=cursor.name("column"))
    if cursor.take("ALTER"):
        cursor.take("COLUMN")
        return _alter_column(cursor, name, cursor.path("column"))
    if cursor.take("SET"):
        if cursor.take("PARTITIONED", "BY"):
            return AlterTable(name, "PARTITIONED BY", items=cursor.bracketed())
        if cursor.take("SORTED", "BY"):
            return AlterTable(name, "SORTED BY", items=cursor.bracketed())
        cursor.take("TBLPROPERTIES")
        return AlterTable(name, "SET PROPERTIES", properties=_properties(cursor))
    if cursor.take("RESET"):
        if cursor.take("PARTITIONED", "BY"):
            return AlterTable(name, "PARTITIONED BY")
        if cursor.take("SORTED", "BY"):
            return AlterTable(name, "SORTED BY")
        return AlterTable(name, "RESET PROPERTIES", items=_property_names(cursor))
    raise StatementNotSupported(
        f"ALTER TABLE … {cursor.word() or 'this'} is not supported",
        hint="ADD, DROP, RENAME, ALTER COLUMN, SET PARTITIONED BY and SET SORTED BY are",
    )


def _alter_column(cursor: Cursor, name: tuple[str, ...], column: tuple[str, ...]) -> AlterTable:
    if cursor.take("SET", "NOT", "NULL"):
        return AlterTable(name, "SET NOT NULL", column)
    if cursor.take("DROP", "NOT", "NULL"):
        return AlterTable(name, "DROP NOT NULL", column)
    if cursor.take("SET", "DEFAULT"):
        return AlterTable(name, "SET DEFAULT", column, value=cursor.expression("a value"))
    if cursor.take("DROP", "DEFAULT"):
        return AlterTable(name, "DROP DEFAULT", column)
    cursor.take("SET", "DATA")
    cursor.take("SET")
    cursor.expect("TYPE")
    return AlterTable(name, "TYPE", column, type=cursor.expression("a type"))


def comment_on(cursor: Cursor) -> CommentOn:
    """``COMMENT ON {SCHEMA | TABLE | VIEW | COLUMN} name IS {'…' | NULL}``."""
    cursor.expect("COMMENT", "ON")
    what = cursor.take_one("SCHEMA", "TABLE", "VIEW", "COLUMN")
    if not what:
        raise StatementNotSupported(f"COMMENT ON {cursor.word() or 'this'} is not supported")
    name = cursor.path()
    cursor.expect("IS")
    text = None if cursor.take("NULL") else cursor.string("the comment in quotes")
    cursor.finish()
    return CommentOn(what, name, text)


def _comment(cursor: Cursor) -> str | None:
    if not cursor.take("COMMENT"):
        return None
    cursor.take("=")
    return cursor.string("the comment in quotes")


def _properties(cursor: Cursor) -> tuple[tuple[str, str], ...]:
    cursor.expect("(")
    found = [_property(cursor)]
    while cursor.take(","):
        found.append(_property(cursor))
    cursor.expect(")")
    return tuple(found)


def _property(cursor: Cursor) -> tuple[str, str]:
    key = _property_name(cursor)
    cursor.expect("=")
    if cursor.tokens[cursor.at].text.startswith("'"):
        return key, cursor.string()
    return key, cursor.expression("a value", ",")


def _property_name(cursor: Cursor) -> str:
    if not cursor.ended and cursor.tokens[cursor.at].text.startswith("'"):
        return cursor.string()
    return ".".join(cursor.path("property"))


def _property_names(cursor: Cursor) -> tuple[str, ...]:
    cursor.expect("(")
    found = [_property_name(cursor)]
    while cursor.take(","):
        found.append(_property_name(cursor))
    cursor.expect(")")
    return tuple(found)
