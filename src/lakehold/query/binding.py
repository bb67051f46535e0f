"""Binding: every table that a query names is found, authorized and replaced.

A table becomes a subquery over its Iceberg metadata that holds just the columns that the
session may see. What is not granted does not exist in what the engine is given, so no form
of reference, known to us or not, can reach it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from uuid import UUID

from lakehold.catalog import Column, Relation
from lakehold.engines.duckdb import DuckDBParser
from lakehold.errors import InvalidDefinition, InvalidParameter, StatementNotSupported
from lakehold.names import CATALOG, SYSTEM_SCHEMAS, TableName, quote
from lakehold.policy import Privilege
from lakehold.query import functions
from lakehold.query.names import (
    TableReference,
    check_catalog,
    column_references,
    columns_read,
    table_references,
)
from lakehold.query.scope import Scope
from lakehold.query.tree import Node, constant, fold, is_expression, is_table, replace, walk
from lakehold.query.verification import check_user_tree

VIEW_DEPTH_MAX = 32
"""How deep views may stand on views."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A place where a table's present metadata pointer is put when the plan runs.

    Attributes:
        mark: the text that stands for the pointer in the plan.
        relation: the table's identity.
    """

    mark: str
    relation: UUID


@dataclass(slots=True)
class Bound:
    """What binding found out about a statement."""

    scans: dict[str, Scan] = field(default_factory=dict)
    dependencies: dict[UUID, int] = field(default_factory=dict)
    reads: dict[TableName, frozenset[str]] = field(default_factory=dict)
    system: dict[str, str] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    definers: set[TableName] = field(default_factory=set)
    """Views that run with their owner's rights: what is in them is not the session's to know."""
    lasting: bool = True
    """Whether the plan may be used again; not if it holds the value of a moment."""

    def read(self, name: TableName, columns: frozenset[str]) -> None:
        self.reads[name] = self.reads.get(name, frozenset()) | columns


class Binder:
    """Binds one statement; every query of it goes through the same binder."""

    def __init__(self) -> None:
        self.bound = Bound()
        # Drawn anew for every plan, so that no text of a user can stand for a pointer.
        self.nonce = secrets.token_hex(8)

    def bind(self, tree: Node, scope: Scope) -> Node:
        """Check, authorize and rewrite a tree in place.

        Raises:
            UndefinedTable, PermissionDenied, StatementNotSupported, UndefinedFunction
        """
        check_user_tree(tree)
        references = [item for item in table_references(tree) if not _is_input(item, scope)]
        names = {id(item.node): self._name(item, scope) for item in references}
        wanted = [name for name in names.values() if not _is_system(name)]
        relations = scope.resolve(list(dict.fromkeys(wanted)))
        aliases = _aliases(references, names)
        _qualify(tree, references, names, aliases)
        whole = [(item, names[id(item.node)], aliases[id(item.node)]) for item in references]
        uses = []
        for reference, name, alias in whole:
            if _is_system(name):
                text = self._system(name, scope)
                uses.append((reference, text, alias))
                continue
            relation = relations.get(name)
            if relation is None:
                raise scope.undefined(name)
            text, visible = self._relation(relation, reference.node, scope)
            used = columns_read(tree, alias, visible)
            self.bound.read(relation.name, used)
            uses.append((reference, text, alias))
        _session_functions(tree, scope)
        for reference, text, alias in uses:
            _put(reference.node, text, alias, scope)
        return tree

    def _name(self, reference: TableReference, scope: Scope) -> TableName:
        check_catalog(reference, CATALOG)
        if not reference.schema:
            return TableName(scope.schema, reference.table)
        return TableName(reference.schema, reference.table)

    def _system(self, name: TableName, scope: Scope) -> str:
        relation = scope.system.use(name, scope)
        self.bound.system[relation.key] = str(name)
        self.bound.lasting = False
        self.bound.read(name, frozenset())
        return f"(SELECT * FROM {relation.key})"

    def _relation(self, relation: Relation, node: Node, scope: Scope) -> tuple[str, frozenset[str]]:
        """The subquery for a relation and the names of the columns in it."""
        decision = scope.require(relation, Privilege.SELECT)
        self.bound.dependencies[relation.id] = relation.version
        self.bound.reasons.extend(decision.reasons)
        if relation.kind == "view":
            if node.get("at_clause"):
                raise StatementNotSupported(f"{relation.name} is a view: it has no history")
            columns = _granted(relation.columns, decision.columns)
            text = self._view(relation, columns, scope)
        else:
            all_columns, option = self._as_of(relation, node, scope)
            columns = _granted(all_columns, decision.columns)
            text = scan_text(self.scan(relation), columns, option)
        if not columns:
            raise scope.undefined(relation.name)
        return text, frozenset(column.name for column in columns)

    def scan(self, relation: Relation) -> str:
        """The mark that stands for the relation's pointer."""
        mark = f"lakehold:{self.nonce}:{relation.id}"
        self.bound.scans[mark] = Scan(mark, relation.id)
        return mark

    def _as_of(
        self, relation: Relation, node: Node, scope: Scope
    ) -> tuple[tuple[Column, ...], str]:
        """The columns, and the option for time travel (Iceberg spec: snapshots)."""
        clause = node.get("at_clause")
        if not clause:
            return relation.columns, ""
        metadata = scope.catalog.metadata(relation.metadata_location)
        self.bound.lasting = False
        if fold(clause["unit"]) == "version":
            version = constant(clause["expr"])
            if not isinstance(version, int):
                raise InvalidParameter("AT (VERSION => …) takes a snapshot's number")
            snapshot = scope.catalog.snapshot_at(metadata, version=version)
        else:
            check_user_tree(clause["expr"])
            if any(
                is_expression(part, "PARAMETER") or is_expression(part, "SUBQUERY")
                for part in walk(clause["expr"])
            ):
                raise InvalidParameter("AT (TIMESTAMP => …) takes a constant expression")
            moment = scope.timestamp(expression_text(clause["expr"], scope.parser))
            snapshot = scope.catalog.snapshot_at(metadata, timestamp=moment)
        number = int(snapshot["snapshot-id"])
        return scope.catalog.columns_at(metadata, snapshot), f", snapshot_from_id = {number}"

    def _view(self, relation: Relation, columns: tuple[Column, ...], scope: Scope) -> str:
        """A view's query, bound with the rights that the view says."""
        view = relation.view
        assert view is not None
        if relation.name in scope.views:
            raise InvalidDefinition(f"view {relation.name} stands on itself")
        if len(scope.views) >= VIEW_DEPTH_MAX:
            raise InvalidDefinition(f"views stand more than {VIEW_DEPTH_MAX} deep on each other")
        roles = scope.roles if view.rights == "invoker" else frozenset({view.owner})
        if view.rights == "definer":
            self.bound.definers.add(relation.name)
        inner = scope.within(schema=view.schema, roles=roles, view=relation.name)
        tree = self.bind(scope.parser.tree(view.sql), inner)
        body = scope.parser.text(tree)
        names = ", ".join(quote(column.name) for column in relation.columns)
        chosen = ", ".join(quote(column.name) for column in columns)
        return f'(SELECT {chosen} FROM ({body}) AS "view"({names}))'


def scan_text(mark: str, columns: tuple[Column, ...], option: str = "") -> str:
    """The subquery that reads a table's columns in the types that users see."""
    parts = [read_expression(column) for column in columns]
    chosen = ", ".join(parts) or "NULL AS nothing"
    return f"(SELECT {chosen} FROM iceberg_scan('{mark}'{option}))"


def read_expression(column: Column) -> str:
    """A stored column as its logical type: JSON is stored as text and shown as JSON."""
    name = quote(column.name)
    if column.type == column.storage_type:
        return name
    return f"CAST({name} AS {column.type}) AS {name}"


def expression_text(expression: Node, parser: DuckDBParser) -> str:
    """An expression's tree as text."""
    return select_text([expression], parser)[len("SELECT ") :]


def select_text(expressions: list[Node], parser: DuckDBParser) -> str:
    """``SELECT e, …`` of expressions' trees."""
    tree = parser.tree("SELECT 1")
    tree["node"]["select_list"] = expressions
    return parser.text(tree)


def _granted(columns: tuple[Column, ...], allowed: frozenset[int] | None) -> tuple[Column, ...]:
    if allowed is None:
        return columns
    return tuple(column for column in columns if column.field_id in allowed)


def _is_input(reference: TableReference, scope: Scope) -> bool:
    """Whether a reference means data that came with the statement."""
    return not reference.schema and fold(reference.table) in scope.inputs


def _is_system(name: TableName) -> bool:
    return fold(name.schema) in SYSTEM_SCHEMAS


def _aliases(references: list[TableReference], names: dict[int, TableName]) -> dict[int, str]:
    """The name under which each table stands: its alias, or its own name.

    Two tables of one name from different schemas, without an alias, stand under their full
    names, to which ``_qualify`` leads ``schema.table.column``.
    """
    plain: dict[str, set[TableName]] = {}
    for item in references:
        if not item.node["alias"]:
            plain.setdefault(fold(item.table), set()).add(names[id(item.node)])
    found = {}
    for item in references:
        name = names[id(item.node)]
        clash = len(plain.get(fold(item.table), ())) > 1
        own = f"{name.schema}.{name.table}" if clash else item.table
        found[id(item.node)] = item.node["alias"] or own
    return found


def _qualify(
    tree: Node,
    references: list[TableReference],
    names: dict[int, TableName],
    aliases: dict[int, str],
) -> None:
    """Lead ``schema.table.column`` to the subquery's alias, which knows no schema."""
    known = {
        (fold(names[id(item.node)].schema), fold(item.table)): aliases[id(item.node)]
        for item in references
        if not item.node["alias"]
    }
    if not known:
        return
    for node, parts in column_references(tree):
        rest = parts[1:] if len(parts) > 3 and fold(parts[0]) == CATALOG else parts
        if len(rest) > 2 and (fold(rest[0]), fold(rest[1])) in known:
            node["column_names"] = [known[fold(rest[0]), fold(rest[1])], *rest[2:]]


def _session_functions(tree: Node, scope: Scope) -> None:
    """``current_user`` and its kin are answered from the session."""
    session = scope.session
    answers = {
        "current_user": session.principal.name,
        "session_user": session.principal.name,
        "user": session.principal.name,
        "current_role": ",".join(sorted(session.roles)),
        "current_schema": scope.schema,
        "current_catalog": CATALOG,
        "current_database": CATALOG,
        "version": "Lakehold",
    }
    for node in walk(tree):
        name = ""
        if is_expression(node, "FUNCTION") and not node["children"]:
            name = fold(node["function_name"])
        elif is_expression(node, "COLUMN_REF") and len(node["column_names"]) == 1:
            name = fold(node["column_names"][0])
            if name in ("user", "version"):
                name = ""
        if name in functions.SESSION:
            value = scope.parser.tree("SELECT '" + answers[name].replace("'", "''") + "'")
            new = value["node"]["select_list"][0]
            new["alias"] = node["alias"] or name
            replace(node, new)


def _put(node: Node, text: str, alias: str, scope: Scope) -> None:
    """Replace a table reference by a subquery, keeping its alias, column names and sample."""
    new = scope.parser.tree(f"SELECT * FROM {text} AS {quote(alias)}")["node"]["from_table"]
    assert is_table(new, "SUBQUERY")
    new["column_name_alias"] = node["column_name_alias"]
    new["sample"] = node["sample"]
    new["query_location"] = node.get("query_location", new.get("query_location"))
    replace(node, new)
