"""DESCRIBE and SHOW."""

from __future__ import annotations

import re
from typing import Any

from lakehold.errors import PermissionDenied, UndefinedTable
from lakehold.identity import ADMIN_ROLE
from lakehold.names import SYSTEM_SCHEMAS
from lakehold.policy import ObjectKind, Target
from lakehold.query import statements as s
from lakehold.query.execution import Call
from lakehold.query.result import Answer, Result
from lakehold.query.scope import Scope
from lakehold.query.system import known_columns
from lakehold.query.tree import fold
from lakehold.query.writing import describe_query

_DESCRIBED = ("column_name", "column_type", "null", "default", "comment")


def describe(call: Call) -> Result:
    """DESCRIBE a table or view: the columns that the session may know of; or a query."""
    statement = call.statement
    assert isinstance(statement, s.Describe)
    if statement.text is not None:
        inputs = frozenset(fold(name) for name in call.relations)
        found = describe_query(call, statement.text, inputs)
        rows: list[tuple[Any, ...]] = [(name, kind, "YES", None, None) for name, kind in found]
        return call.answer(Answer.of(_DESCRIBED, rows))
    assert statement.name is not None
    with call.gateway.snapshot(call.state) as scope:
        name = scope.table_name(statement.name)
        if fold(name.schema) in SYSTEM_SCHEMAS:
            schema = scope.system.use(name, scope).data.schema
            rows = [(item.name, str(item.type), "YES", None, None) for item in schema]
        else:
            relation = scope.relation(statement.name)
            rows = [
                (c.name, c.type, "NO" if c.required else "YES", c.default, c.comment)
                for c in known_columns(relation, scope)
            ]
            if not rows:
                raise scope.undefined(name)
            call.running.reads[relation.name] = frozenset()
        call.gateway.recorder.open(call.running, scope.connection)
    return call.answer(Answer.of(_DESCRIBED, rows))


def show(call: Call) -> Result:
    """SHOW TABLES, ALL TABLES, SCHEMAS, VIEWS, COLUMNS, ROLES, USERS."""
    statement = call.statement
    assert isinstance(statement, s.Show)
    with call.gateway.snapshot(call.state) as scope:
        names, rows = _rows(statement, scope, call)
        call.gateway.recorder.open(call.running, scope.connection)
    if statement.like is not None:
        pattern = _like(statement.like)
        place = 1 if statement.what == "ALL TABLES" else 0
        rows = [row for row in rows if pattern.fullmatch(str(row[place]))]
    return call.answer(Answer.of(names, rows))


def _rows(
    statement: s.Show, scope: Scope, call: Call
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    what = statement.what
    if what == "SCHEMAS":
        return ("name", "comment"), _schemas(scope)
    if what in ("TABLES", "VIEWS"):
        schema = scope.schema_name(statement.schema) if statement.schema else scope.schema
        scope.schema_id(schema)
        found = [
            item for item in scope.visible_relations() if fold(item.name.schema) == fold(schema)
        ]
        if what == "VIEWS":
            found = [item for item in found if item.kind == "view"]
        return ("name", "kind", "comment"), [(i.name.table, i.kind, i.comment) for i in found]
    if what == "ALL TABLES":
        return ("schema", "name", "kind", "comment"), [
            (i.name.schema, i.name.table, i.kind, i.comment) for i in scope.visible_relations()
        ]
    if what == "COLUMNS":
        if statement.schema is None:
            raise UndefinedTable("SHOW COLUMNS FROM table")
        relation = scope.relation(statement.schema)
        return ("name", "type", "null", "default", "comment"), [
            (c.name, c.type, "NO" if c.required else "YES", c.default, c.comment)
            for c in known_columns(relation, scope)
        ]
    if ADMIN_ROLE not in scope.facts.effective_roles(scope.roles):
        raise PermissionDenied(f"SHOW {what} needs the role {ADMIN_ROLE}")
    access = call.gateway.access
    if what == "ROLES":
        pairs = access.roles(scope.connection)
        return ("name", "inherits"), [(name, ", ".join(held)) for name, held in pairs]
    pairs = access.users(scope.connection)
    return ("name", "roles"), [(name, ", ".join(held)) for name, held in pairs]


def _schemas(scope: Scope) -> list[tuple[Any, ...]]:
    return [
        (item.name, item.properties.get("comment"))
        for item in scope.catalog.schemas(scope.connection, transaction=scope.transaction)
        if scope.sees(Target(ObjectKind.SCHEMA, item.id, item.id))
    ]


def _like(pattern: str) -> re.Pattern[str]:
    """A LIKE pattern as a regular expression, without case."""
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
