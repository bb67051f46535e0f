"""Finding the names in a parse tree: tables, columns, functions, with the scope of each.

Scopes follow DuckDB: a common table expression hides a table of the same name from the
queries after it and from the body, and, unless it is recursive, not from itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lakehold.errors import StatementNotSupported
from lakehold.query.tree import Node, fold, is_base_table, walk


@dataclass(frozen=True, slots=True)
class TableReference:
    """A place in a tree that names a table of the catalog (not a common table expression)."""

    node: Node
    catalog: str
    schema: str
    table: str


def table_references(tree: object) -> list[TableReference]:
    """The table references of a tree, in the order of the text."""
    return list(_visit(tree, frozenset()))


def _visit(node: object, hidden: frozenset[str]) -> Iterator[TableReference]:
    if isinstance(node, list):
        for item in node:
            yield from _visit(item, hidden)
        return
    if not isinstance(node, dict):
        return
    if is_base_table(node):
        catalog, schema, table = node["catalog_name"], node["schema_name"], node["table_name"]
        if catalog or schema or fold(table) not in hidden:
            yield TableReference(node, catalog, schema, table)
    inner = hidden
    if "cte_map" in node:
        for entry in node["cte_map"]["map"]:
            key = fold(entry["key"])
            own = inner | {key} if _is_recursive(entry["value"]) else inner
            yield from _visit(entry["value"], own)
            inner = inner | {key}
    for key, value in node.items():
        if key != "cte_map":
            yield from _visit(value, inner)


def _is_recursive(value: Node) -> bool:
    query = value.get("query", {})
    node = query.get("node", {}) if isinstance(query, dict) else {}
    return isinstance(node, dict) and node.get("type") == "RECURSIVE_CTE_NODE"


def column_references(tree: object) -> Iterator[tuple[Node, list[str]]]:
    """The column references of a tree with the parts of their names."""
    for node in walk(tree):
        if node.get("class") == "COLUMN_REF":
            yield node, node["column_names"]


def columns_read(tree: object, alias: str, columns: frozenset[str]) -> frozenset[str]:
    """Which of a table's columns a statement may read.

    Never too few: where the tree does not tell (a star, a whole row, a natural join, a
    pivot), all of them.

    Args:
        tree: the whole statement.
        alias: the name under which the table stands in it.
        columns: the table's columns that the session may see, by name.
    """
    folded = {fold(name): name for name in columns}
    used: set[str] = set()
    for node in walk(tree):
        kind = node.get("class")
        if kind == "POSITIONAL_REFERENCE":
            return columns
        if kind == "STAR":
            relation = node.get("relation_name", "")
            if not relation or fold(relation) == fold(alias):
                return columns
        elif kind == "COLUMN_REF":
            parts = [fold(part) for part in node["column_names"]]
            if parts[-1] == fold(alias) or (len(parts) > 1 and parts[0] == fold(alias)):
                if len(parts) == 1 and parts[0] not in folded:
                    return columns
            used.update(folded[part] for part in parts if part in folded)
        elif "class" not in node:
            if node.get("type") in ("PIVOT", "SHOW_REF"):
                return columns
            if node.get("type") == "JOIN":
                if node.get("ref_type") in ("NATURAL", "POSITIONAL"):
                    return columns
                used.update(
                    folded[fold(name)]
                    for name in node.get("using_columns", [])
                    if fold(name) in folded
                )
    return frozenset(used)


def check_catalog(reference: TableReference, catalog: str) -> None:
    """Refuse a three-part name of another catalog.

    Raises:
        StatementNotSupported: naming the one catalog that there is.
    """
    if reference.catalog and fold(reference.catalog) != catalog:
        raise StatementNotSupported(
            f'there is no catalog "{reference.catalog}"', hint=f"the catalog is named {catalog}"
        )
