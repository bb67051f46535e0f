"""Composing INSERT, UPDATE, DELETE and MERGE for the engine.

The user's expressions are parsed as a *shadow* query — every expression a column of it, every
source in its FROM —, which is bound, rewritten and verified like any other query. The
statement that runs is put together from the pieces of the verified shadow, never from the
user's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from lakehold.catalog import Column, Relation
from lakehold.errors import (
    InvalidRequest,
    PermissionDenied,
    StatementNotSupported,
    SyntaxInvalid,
    UndefinedColumn,
)
from lakehold.names import CATALOG, TableName, quote
from lakehold.policy import Decision, Privilege
from lakehold.query.binding import Binder, expression_text, read_expression
from lakehold.query.emptiness import Spare
from lakehold.query.names import column_references
from lakehold.query.planning import Plan, as_plan
from lakehold.query.scope import Scope
from lakehold.query.statements import Delete, Insert, Merge, MergeClause, Update
from lakehold.query.target_reads import Parts, check_reads, hidden_names
from lakehold.query.tree import Node, fold
from lakehold.query.verification import verify

TARGET = "\0target\0"
"""Stands for the table's name in the engine until a writer slot is known; no user can write it,
since no statement may hold a NUL."""


@dataclass(frozen=True, slots=True)
class Change:
    """A composed change of one table.

    Attributes:
        plan: the text, with ``TARGET`` where the table's name in the engine goes.
        check: a query to bind (not run) first, where the session may not read the whole
            target: it fails on a column that is not granted.
        hidden: names of columns of the target that no answer may tell, in lower case.
        spare: for a change that the engine must not run if it reads nothing of the target.
    """

    plan: Plan
    check: Plan | None = None
    hidden: frozenset[str] = frozenset()
    spare: Spare | None = None


class Shadow:
    """The shadow query of a change: expressions and sources as one SELECT."""

    def __init__(
        self,
        scope: Scope,
        binder: Binder,
        statement: Update | Delete | Merge,
        target: TableName,
    ) -> None:
        self._scope, self._binder = scope, binder
        self._ctes = statement.ctes
        self._sources = statement.source if isinstance(statement, Merge) else statement.sources
        self._target = target if statement.alias is None else None
        self._texts: list[str] = []
        self._node: Node = {}
        self.pieces: list[str] = []

    def add(self, text: str) -> int:
        """Add an expression; returns its place."""
        self._texts.append(text)
        return len(self._texts) - 1

    def bind(self) -> None:
        """Bind, rewrite and verify.

        Raises:
            LakeholdError: what is wrong with the parts, or not allowed.
        """
        parser = self._scope.parser
        chosen = ", ".join(f"({text}\n)" for text in self._texts) or "1"
        source = f" FROM {self._sources}\n" if self._sources else ""
        tree = parser.tree(f"{self._ctes} SELECT {chosen}{source}")
        node = tree["node"]
        if node.get("type") != "SELECT_NODE" or len(node["select_list"]) != max(
            len(self._texts), 1
        ):
            raise SyntaxInvalid("the parts of the statement do not fit together")
        for key in ("where_clause", "having", "qualify", "sample"):
            if node.get(key):
                raise SyntaxInvalid("the parts of the statement do not fit together")
        if node.get("modifiers") or node.get("group_expressions"):
            raise SyntaxInvalid("the parts of the statement do not fit together")
        self._name_target(tree)
        self._binder.bind(tree, self._scope)
        self._node = node
        self.pieces = [expression_text(item, parser) for item in node["select_list"]]
        verify(
            parser.tree(parser.text(tree)),
            relations={*self._binder.bound.system, *self._scope.inputs},
            scans=frozenset(self._binder.bound.scans),
        )

    def _name_target(self, tree: Node) -> None:
        """Lead ``schema.table.column`` of the target to the name under which it stands."""
        if self._target is None:
            return
        wanted = [fold(self._target.schema), fold(self._target.table)]
        for node, parts in column_references(tree):
            rest = parts[1:] if len(parts) > 3 and fold(parts[0]) == CATALOG else parts
            if len(rest) > 2 and [fold(rest[0]), fold(rest[1])] == wanted:
                node["column_names"] = [self._target.table, *rest[2:]]

    def piece(self, place: int) -> str:
        """A verified expression as text."""
        return self.pieces[place]

    def sources(self) -> str:
        """The verified FROM as text, without the word."""
        return self._without_list()[1]

    def ctes(self) -> str:
        """The verified WITH as text, with a blank at its end; empty if there is none."""
        return self._without_list()[0]

    def parts(self, alias: str, using: tuple[str, ...] = ()) -> Parts:
        """The verified parts, for what they read of a target of this alias."""
        return Parts(
            alias=alias,
            expressions=self._node["select_list"],
            pieces=self.pieces,
            surroundings=[self._node["from_table"], self._node["cte_map"]],
            ctes=self.ctes(),
            sources=self.sources() if self._sources else "",
            using=using,
        )

    def _without_list(self) -> tuple[str, str]:
        bare: dict[str, Any] = dict(self._node)
        star = self._scope.parser.tree("SELECT 123454321 FROM x")["node"]
        bare["select_list"] = star["select_list"]
        text = self._scope.parser.text({"node": bare, "named_param_map": []})
        before, _, after = text.partition("SELECT 123454321")
        return before.strip() + " " if before.strip() else "", after.strip().removeprefix("FROM ")


def compose_insert(
    statement: Insert, relation: Relation, scope: Scope, query_columns: tuple[str, ...] | None
) -> Change:
    """INSERT: the query's columns into the table's, with logical types and defaults.

    Args:
        query_columns: the names of the query's columns, for BY NAME.

    Raises:
        UndefinedColumn, InvalidRequest, PermissionDenied
    """
    names = statement.columns
    if statement.by_name:
        assert query_columns is not None
        names = query_columns
    targets = list(relation.columns) if names is None else _columns(relation, names, scope)
    decision = scope.require(relation, Privilege.INSERT)
    _may_write(targets, decision, "INSERT", relation, scope)
    plan = insert_plan(statement.query, targets, relation, scope)
    return Change(plan, hidden=hidden_names(relation, scope))


def insert_plan(query: str | None, targets: list[Column], relation: Relation, scope: Scope) -> Plan:
    """An INSERT that is allowed: ``query`` (``None`` for defaults) into ``targets``."""
    binder = Binder()
    if query is None:
        body = "SELECT " + ", ".join(_default(item) for item in targets)
    else:
        body = _insert_query(query, targets, scope, binder)
    missing = [
        item for item in relation.columns if item not in targets and item.default is not None
    ]
    plain = all(item.type == item.storage_type for item in targets)
    if not plain or missing:
        inner = ", ".join(quote(f"c{number}") for number in range(len(targets)))
        chosen = [
            write_expression(quote(f"c{number}"), item) for number, item in enumerate(targets)
        ] + [write_expression(_default(item), item) for item in missing]
        body = f"SELECT {', '.join(chosen)} FROM ({body}) AS rows({inner})"
    order = _order(relation, [*targets, *missing])
    if order:
        inner = ", ".join(quote(item.name) for item in [*targets, *missing])
        body = f"SELECT * FROM ({body}) AS rows({inner}) ORDER BY {order}"
    listed = ", ".join(quote(item.name) for item in [*targets, *missing])
    verify(
        scope.parser.tree(body),
        relations={*binder.bound.system, *scope.inputs},
        scans=frozenset(binder.bound.scans),
    )
    return as_plan(f"INSERT INTO {TARGET} ({listed}) {body}", binder, scope)


_SORT = re.compile(
    r"(?:(?P<transform>\w+)\((?:\d+, )?(?P<inner>.+)\)|(?P<plain>.+?)) "
    r"(?P<rest>(?:ASC|DESC) NULLS (?:FIRST|LAST))\Z"
)


def _order(relation: Relation, targets: list[Column]) -> str:
    """ORDER BY for the table's sort order.

    Rows in the order of a column are in the order of its year, month, day, hour and prefix
    too; only a bucket's order is another, and is left to maintenance.
    """
    names = {fold(item.name) for item in targets}
    terms = []
    for text in relation.sort_order:
        found = _SORT.match(text)
        if found is None or found["transform"] == "bucket":
            continue
        shown = found["inner"] or found["plain"]
        name = shown[1:-1].replace('""', '"') if shown.startswith('"') else shown
        if fold(name) in names:
            terms.append(f"{quote(name)} {found['rest']}")
    return ", ".join(terms)


def _insert_query(text: str, targets: list[Column], scope: Scope, binder: Binder) -> str:
    tree = scope.parser.tree(text)
    _fill_defaults(tree, targets, scope)
    binder.bind(tree, scope)
    return scope.parser.text(tree)


def _fill_defaults(tree: Node, targets: list[Column], scope: Scope) -> None:
    """DEFAULT in a VALUES list becomes the column's default."""
    source = tree["node"].get("from_table") or {}
    for row in source.get("values", []) if source.get("type") == "EXPRESSION_LIST" else []:
        if len(row) != len(targets):
            raise InvalidRequest(
                f"INSERT names {len(targets)} columns and gives {len(row)} values",
                hint=f"columns: {', '.join(item.name for item in targets)}",
            )
        for place, value in enumerate(row):
            if value.get("class") == "DEFAULT":
                default = scope.parser.tree(f"SELECT {_default(targets[place])}")
                row[place] = default["node"]["select_list"][0]


def compose_update(statement: Update, relation: Relation, scope: Scope) -> Change:
    """UPDATE: assignments, sources and condition.

    Raises:
        UndefinedColumn, PermissionDenied, SyntaxInvalid
    """
    columns = _columns(relation, [name for name, _ in statement.assignments], scope)
    if len(set(columns)) != len(columns):
        raise InvalidRequest("a column is assigned twice")
    decision = scope.require(relation, Privilege.UPDATE)
    _may_write(columns, decision, "UPDATE", relation, scope)
    binder = Binder()
    shadow = Shadow(scope, binder, statement, relation.name)
    places = []
    for column, (_, value) in zip(columns, statement.assignments, strict=True):
        is_default = value.strip().upper() == "DEFAULT"
        places.append(shadow.add(_default(column) if is_default else value))
    where = shadow.add(statement.where) if statement.where is not None else None
    shadow.bind()
    alias = statement.alias or relation.name.table
    assignments = ", ".join(
        f"{quote(column.name)} = {write_expression(shadow.piece(place), column)}"
        for column, place in zip(columns, places, strict=True)
    )
    text = f"{shadow.ctes()}UPDATE {TARGET} AS {quote(alias)} SET {assignments}"
    probe = f"FROM {TARGET} AS {quote(alias)}"
    if statement.sources:
        text += f" FROM {shadow.sources()}"
        probe += f", {shadow.sources()}"
    if where is not None:
        text += f" WHERE {shadow.piece(where)}"
        probe += f" WHERE {shadow.piece(where)}"
    check = _check(relation, alias, shadow, scope, binder)
    spare = Spare(shadow.ctes(), probe)
    return Change(as_plan(text, binder, scope), check, hidden_names(relation, scope), spare)


def compose_delete(statement: Delete, relation: Relation, scope: Scope) -> Change:
    """DELETE: sources and condition.

    Raises:
        PermissionDenied, SyntaxInvalid
    """
    scope.require(relation, Privilege.DELETE)
    binder = Binder()
    shadow = Shadow(scope, binder, statement, relation.name)
    where = shadow.add(statement.where) if statement.where is not None else None
    shadow.bind()
    alias = statement.alias or relation.name.table
    text = f"{shadow.ctes()}DELETE FROM {TARGET} AS {quote(alias)}"
    if statement.sources:
        text += f" USING {shadow.sources()}"
    if where is not None:
        text += f" WHERE {shadow.piece(where)}"
    check = _check(relation, alias, shadow, scope, binder)
    return Change(as_plan(text, binder, scope), check, hidden_names(relation, scope))


def compose_merge(statement: Merge, relation: Relation, scope: Scope) -> Change:
    """MERGE: source, condition and clauses.

    Raises:
        UndefinedColumn, PermissionDenied, StatementNotSupported, SyntaxInvalid
    """
    for clause in statement.clauses:
        _may_merge(clause, relation, scope)
    binder = Binder()
    shadow = Shadow(scope, binder, statement, relation.name)
    on = shadow.add(statement.on) if statement.on is not None else None
    parts = [_merge_parts(clause, relation, shadow, scope) for clause in statement.clauses]
    shadow.bind()
    alias = statement.alias or relation.name.table
    if on is not None:
        joined = f" ON {shadow.piece(on)}"
    else:
        joined = f" USING ({', '.join(quote(name) for name in statement.using)})"
    text = f"{shadow.ctes()}MERGE INTO {TARGET} AS {quote(alias)} USING {shadow.sources()}{joined}"
    rest, head = "", text
    for clause, (condition, columns, values) in zip(statement.clauses, parts, strict=True):
        when = f" WHEN {clause.match}"
        if condition is not None:
            when += f" AND {shadow.piece(condition)}"
        when += " THEN " + _merge_action(clause, columns, [shadow.piece(v) for v in values])
        text += when
        rest += when if clause.match in ("NOT MATCHED", "NOT MATCHED BY TARGET") else ""
    check = _check(relation, alias, shadow, scope, binder, statement.using)
    probe = f"FROM {TARGET} AS {quote(alias)}"
    if not any(clause.match.endswith("BY SOURCE") for clause in statement.clauses):
        probe += f" JOIN {shadow.sources()}{joined}"
    spare = Spare(shadow.ctes(), probe, head + rest if rest else "")
    updates = any(clause.action == "UPDATE" for clause in statement.clauses)
    plan = as_plan(text, binder, scope)
    return Change(plan, check, hidden_names(relation, scope), spare if updates else None)


def _may_merge(clause: MergeClause, relation: Relation, scope: Scope) -> None:
    if clause.action == "DO NOTHING":
        return
    decision = scope.require(relation, Privilege(clause.action))
    named = bool(clause.columns)
    columns = _columns(relation, clause.columns, scope) if named else list(relation.columns)
    if clause.action != "DELETE":
        _may_write(columns, decision, clause.action, relation, scope)
    if not clause.values and clause.action in ("INSERT", "UPDATE"):
        if any(column.type != column.storage_type for column in relation.columns):
            raise StatementNotSupported(
                f"{clause.action} without values cannot be used: {relation.name} has columns "
                "of types that are stored as others",
                hint="name the columns and values",
            )


def _merge_parts(
    clause: MergeClause, relation: Relation, shadow: Shadow, scope: Scope
) -> tuple[int | None, list[Column], list[int]]:
    condition = shadow.add(clause.condition) if clause.condition is not None else None
    columns = _columns(relation, clause.columns, scope) if clause.columns else []
    if clause.values and not columns:
        columns = list(relation.columns)
    if len(columns) != len(clause.values):
        raise InvalidRequest(
            f"{clause.action} names {len(columns)} columns and gives {len(clause.values)} values"
        )
    values = [
        shadow.add(_default(column) if text.strip().upper() == "DEFAULT" else text)
        for column, text in zip(columns, clause.values, strict=True)
    ]
    return condition, columns, values


def _merge_action(clause: MergeClause, columns: list[Column], values: list[str]) -> str:
    written = [
        write_expression(value, column) for column, value in zip(columns, values, strict=True)
    ]
    if clause.action == "UPDATE" and columns:
        pairs = (
            f"{quote(column.name)} = {value}"
            for column, value in zip(columns, written, strict=True)
        )
        return "UPDATE SET " + ", ".join(pairs)
    if clause.action == "INSERT" and columns:
        names = ", ".join(quote(column.name) for column in columns)
        return f"INSERT ({names}) VALUES ({', '.join(written)})"
    return clause.action + (" BY NAME" if clause.by_name else "")


def _check(
    relation: Relation,
    alias: str,
    shadow: Shadow,
    scope: Scope,
    binder: Binder,
    using: tuple[str, ...] = (),
) -> Plan | None:
    return check_reads(relation, shadow.parts(alias, using), scope, binder)


def write_expression(text: str, column: Column) -> str:
    """A value of a column's logical type as it is stored."""
    if column.type == column.storage_type:
        return text
    return f"CAST(CAST({text} AS {column.type}) AS {column.storage_type})"


def _default(column: Column) -> str:
    return column.default if column.default is not None else "NULL"


def _columns(relation: Relation, names: tuple[str, ...] | list[str], scope: Scope) -> list[Column]:
    """The columns of these names; those that the session may not know of are not there."""
    visible = scope.known_columns(relation)
    known = {fold(item.name): item for item in relation.columns if item.name in visible}
    found = []
    for name in names:
        column = known.get(fold(name))
        if column is None:
            from difflib import get_close_matches

            near = get_close_matches(name, sorted(visible), n=2)
            raise UndefinedColumn(
                f'column "{name}" of table {relation.name} does not exist',
                hint=f"did you mean {' or '.join(near)}?" if near else None,
            )
        found.append(column)
    return found


def _may_write(
    columns: list[Column],
    decision: Decision,
    privilege: str,
    relation: Relation,
    scope: Scope,
) -> None:
    if decision.columns is None:
        return
    lacking = [column.name for column in columns if column.field_id not in decision.columns]
    if lacking:
        known = scope.known_columns(relation)
        shown = [name if name in known else "further columns" for name in lacking]
        raise PermissionDenied(
            f"{privilege} on {', '.join(dict.fromkeys(shown))} of {relation.name} is not granted",
            hint="name the columns that are granted",
        )


__all__ = [
    "TARGET",
    "Change",
    "compose_delete",
    "compose_insert",
    "compose_merge",
    "compose_update",
    "read_expression",
    "write_expression",
]
