"""Walking and building DuckDB's parse trees (``engines.duckdb.parser``).

A tree is plain JSON. Expressions have a ``class``; table references and query nodes have a
``type`` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]

NO_LOCATION = 18446744073709551615


def fold(name: str) -> str:
    """Lower case of ASCII letters only, as DuckDB compares names.

    ``str.lower`` folds more (the Kelvin sign to ``k``), and a name that two parties compare
    differently is a way around the wall.
    """
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def walk(node: object) -> Iterator[Node]:
    """Every dictionary of a tree, the outer before the inner."""
    stack = [node]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            yield item
            stack.extend(reversed(list(item.values())))
        elif isinstance(item, list):
            stack.extend(reversed(item))


def is_table(node: Node, kind: str) -> bool:
    """Whether a node is a table reference of this kind (``BASE_TABLE``, ``JOIN`` …)."""
    return node.get("type") == kind and "class" not in node


def is_base_table(node: Node) -> bool:
    """Whether a node names a table, view or common table expression."""
    return is_table(node, "BASE_TABLE") and "table_name" in node


def is_expression(node: Node, kind: str) -> bool:
    """Whether a node is an expression of this class (``COLUMN_REF``, ``FUNCTION`` …)."""
    return node.get("class") == kind


def location(node: Node) -> int | None:
    """The byte offset of a node in the text that was parsed."""
    place = node.get("query_location", NO_LOCATION)
    return None if place == NO_LOCATION else int(place)


def constant(node: object) -> object:
    """The Python value of a constant, seen through casts of booleans and signs; else ``None``."""
    if not isinstance(node, dict):
        return None
    if node.get("class") == "CONSTANT":
        value = node["value"]
        return None if value.get("is_null") else value.get("value")
    if node.get("class") == "FUNCTION" and node.get("function_name") == "-":
        inner = [constant(child) for child in node.get("children", [])]
        if len(inner) == 1 and isinstance(inner[0], int):
            return -inner[0]
    return None


def replace(node: Node, new: Node) -> None:
    """Put ``new`` in the place of ``node``, in the tree that holds it."""
    node.clear()
    node.update(new)
