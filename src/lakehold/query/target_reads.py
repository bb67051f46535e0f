"""What the expressions of an UPDATE, DELETE or MERGE may read of the table that they change.

A change runs on the table itself, so its expressions could name columns that are not granted,
and the engine's own (``filename``, ``rowid``). Where a session may not read all of a table, the
expressions are first bound to a query over the granted columns alone; whatever could still mean
something else on the whole table is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise

from lakehold.catalog import Relation
from lakehold.errors import PermissionDenied, UndefinedColumn
from lakehold.names import quote
from lakehold.policy import Privilege
from lakehold.query.binding import Binder, scan_text
from lakehold.query.names import columns_read
from lakehold.query.planning import Plan, as_plan
from lakehold.query.scope import Scope
from lakehold.query.tree import Node, fold, walk
from lakehold.query.verification import verify

ENGINE_COLUMNS = frozenset(
    """
    rowid filename file_row_number file_index _row_id _last_updated_sequence_number _file _pos
    _partition _spec_id _deleted delete_file_path
    """.split()
)
"""Columns that the engine adds to a table by itself (DuckDB: virtual columns)."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The verified parts of a change.

    Attributes:
        alias: the name under which the target stands.
        expressions: their trees; ``pieces``: the same as text.
        surroundings: the trees of WITH and FROM; ``ctes`` and ``sources``: the same as text.
        using: columns that target and source are joined by.
    """

    alias: str
    expressions: list[Node]
    pieces: list[str]
    surroundings: list[object]
    ctes: str
    sources: str
    using: tuple[str, ...] = ()


def check_reads(relation: Relation, parts: Parts, scope: Scope, binder: Binder) -> Plan | None:
    """Record what is read of the target; refuse what is not granted.

    Reading a column in WHERE or SET needs SELECT on it (PostgreSQL: UPDATE, "you must also have
    the SELECT privilege on any column whose values are read").

    Returns:
        a query that the engine must be able to bind before the change runs.

    Raises:
        PermissionDenied, UndefinedColumn
    """
    decision = scope.decision(relation, Privilege.SELECT)
    granted = tuple(
        column
        for column in relation.columns
        if decision.allowed and (decision.columns is None or column.field_id in decision.columns)
    )
    names = frozenset(column.name for column in granted)
    used = columns_read({"parts": [parts.expressions, parts.surroundings]}, parts.alias, names)
    used |= {name for name in names if fold(name) in {fold(item) for item in parts.using}}
    if used:
        binder.bound.read(relation.name, used)
    whole = len(granted) == len(relation.columns)
    if whole and not _names_any(parts, ENGINE_COLUMNS):
        return None
    known = {fold(name) for name in names}
    hidden = ({fold(column.name) for column in relation.columns} | ENGINE_COLUMNS) - known
    _refuse_ambiguous(parts, hidden, known, whole, relation)
    mark = binder.scan(relation)
    target = f"{scan_text(mark, granted)} AS {quote(parts.alias)}" if granted else ""
    source = ", ".join(item for item in (target, parts.sources) if item)
    text = f"{parts.ctes}SELECT {', '.join(parts.pieces) or '1'}"
    text += f" FROM {source}" if source else ""
    verify(
        scope.parser.tree(text),
        relations={*binder.bound.system, *scope.inputs},
        scans=frozenset(binder.bound.scans),
    )
    return as_plan(f"EXPLAIN {text}", binder, scope)


def hidden_names(relation: Relation, scope: Scope) -> frozenset[str]:
    """The names of a relation's columns that the session may not know of, in lower case."""
    known = {fold(name) for name in scope.known_columns(relation)}
    return frozenset(fold(column.name) for column in relation.columns) - known


def _names_any(parts: Parts, names: Collection[str]) -> bool:
    mentioned = (
        fold(part)
        for node in walk([parts.expressions, parts.surroundings])
        for part in node.get("column_names") or ()
    )
    return any(name in names for name in mentioned)


def _refuse_ambiguous(
    parts: Parts, hidden: Collection[str], known: Collection[str], whole: bool, relation: Relation
) -> None:
    """Refuse what the check binds in one way, and the whole table could in another.

    - A position, a star or the row as a whole is more on the whole table.
    - ``target.hidden`` is a field of a struct as long as the target has no such column.
    - A bare name that a source has too: MERGE knows the target alone in some of its clauses.
    """
    alias = fold(parts.alias)
    for node in _outer(parts.expressions):
        kind = node.get("class")
        if not whole and (kind == "POSITIONAL_REFERENCE" or kind == "STAR"):
            raise _needs_all(relation)
        if kind == "COLUMN_REF" and parts.sources and fold(node["column_names"][0]) in hidden:
            raise _undefined(node["column_names"][0])
    for node in walk([parts.expressions, parts.surroundings]):
        if node.get("class") == "STAR" and fold(node.get("relation_name", "")) == alias:
            if not whole:
                raise _needs_all(relation)
        elif node.get("class") == "COLUMN_REF":
            names = [fold(part) for part in node["column_names"]]
            if names == [alias] and alias not in known and not whole:
                raise _needs_all(relation)
            doubtful = parts.sources or alias in known
            if doubtful and any(a == alias and b in hidden for a, b in pairwise(names)):
                raise _undefined(node["column_names"][-1])
    if parts.sources:
        for node in _inner(parts.expressions):
            if node.get("class") == "COLUMN_REF" and fold(node["column_names"][0]) in hidden:
                raise _undefined(node["column_names"][0])
    for name in parts.using:
        if fold(name) in hidden:
            raise _undefined(name)


def _outer(expressions: list[Node]) -> Iterator[Node]:
    """The nodes of expressions that do not stand in a subquery of theirs."""
    stack: list[object] = list(expressions)
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(value for key, value in item.items() if key != "subquery")
        elif isinstance(item, list):
            stack.extend(item)


def _inner(expressions: list[Node]) -> Iterator[Node]:
    """The nodes of the subqueries of expressions."""
    for node in _outer(expressions):
        if "subquery" in node:
            yield from walk(node["subquery"])


def _needs_all(relation: Relation) -> PermissionDenied:
    return PermissionDenied(
        f"a position, a star or a whole row of {relation.name} needs SELECT on all of it",
        hint="name the columns",
    )


def _undefined(name: str) -> UndefinedColumn:
    return UndefinedColumn(
        f'Referenced column "{name}" not found in FROM clause',
        hint="write a column of a source as source.column",
    )
