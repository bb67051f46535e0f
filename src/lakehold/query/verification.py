"""The last look before the engine: what will run is parsed again and every name checked.

The rewriter is the boundary; this is the proof that it held. It shares no code with it: it
takes the text that is about to run, parses it with the engine's own parser, and refuses
whatever is not on a list (invariant 2, default deny).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from lakehold.errors import StatementNotSupported, UndefinedFunction
from lakehold.query import functions
from lakehold.query.names import table_references
from lakehold.query.tree import Node, fold, is_table, walk

EXPRESSIONS = frozenset(
    """
    BETWEEN CASE CAST COLLATE COLUMN_REF COMPARISON CONJUNCTION CONSTANT DEFAULT FUNCTION LAMBDA
    OPERATOR PARAMETER POSITIONAL_REFERENCE STAR SUBQUERY WINDOW TYPE
    """.split()
)
"""The expression classes that may run."""

TABLES = frozenset(
    "BASE_TABLE SUBQUERY JOIN TABLE_FUNCTION EXPRESSION_LIST PIVOT SHOW_REF EMPTY".split()
)
"""The kinds of table reference that may run."""

QUERIES = frozenset("SELECT_NODE SET_OPERATION_NODE RECURSIVE_CTE_NODE CTE_NODE".split())
"""The kinds of query node that may run."""

SCAN = "iceberg_scan"


def verify(tree: object, *, relations: Collection[str], scans: Collection[str]) -> None:
    """Check a rewritten tree.

    Args:
        tree: the parse tree of the text that is about to run.
        relations: names of Arrow relations that the gateway provides.
        scans: the first arguments of ``iceberg_scan`` that the gateway wrote.

    Raises:
        StatementNotSupported, UndefinedFunction: naming what may not run.
    """
    provided = {fold(name) for name in relations}
    for reference in table_references(tree):
        if reference.catalog or reference.schema or fold(reference.table) not in provided:
            raise StatementNotSupported(f'"{reference.table}" cannot be read here')
    for node in walk(tree):
        kind = node.get("class")
        if kind is not None:
            _check_expression(node, str(kind))
        else:
            _check_table(node, scans)


def check_user_tree(tree: object) -> None:
    """Check the functions of a tree that a user wrote, before anything else looks at it.

    Raises:
        StatementNotSupported, UndefinedFunction: naming what may not run.
    """
    for node in walk(tree):
        kind = node.get("class")
        if kind is not None:
            _check_expression(node, str(kind), session=True)
        elif is_table(node, "TABLE_FUNCTION"):
            name = str(node["function"].get("function_name", ""))
            if fold(name) == SCAN:
                raise _refused_table_function(name)


def _check_expression(node: Node, kind: str, *, session: bool = False) -> None:
    if kind not in EXPRESSIONS:
        raise StatementNotSupported(f"{kind.lower().replace('_', ' ')} is not supported here")
    if (
        kind == "FUNCTION"
        and not node.get("__table_function")
        or kind == "WINDOW"
        and node.get("type") == "WINDOW_AGGREGATE"
    ):
        _check_function(node, session=session)


def _check_function(node: Node, *, session: bool) -> None:
    name = fold(str(node.get("function_name", "")))
    schema, catalog = fold(str(node.get("schema", ""))), fold(str(node.get("catalog", "")))
    if schema not in ("", "main") or catalog not in ("", "system"):
        raise UndefinedFunction(f"there is no function {catalog or schema}.{name}")
    if name in functions.CALLABLE or (session and name in functions.SESSION):
        return
    if name in functions.TABLE or name == SCAN:
        return  # its place is checked where tables are
    raise UndefinedFunction(
        f"there is no function {name}, or it may not be used here",
        hint=_near(name),
    )


def _check_table(node: Node, scans: Collection[str]) -> None:
    kind = node.get("type")
    if not isinstance(kind, str):
        return
    if kind.endswith("_NODE") and "modifiers" in node:
        if kind not in QUERIES:
            raise StatementNotSupported(f"{kind.lower()} is not supported")
    elif "alias" in node and "sample" in node:
        if kind not in TABLES:
            raise StatementNotSupported(f"{kind.lower().replace('_', ' ')} is not supported here")
        if kind == "TABLE_FUNCTION":
            _check_table_function(node["function"], scans)
        elif kind == "SHOW_REF" and not node.get("query"):
            raise StatementNotSupported("SHOW cannot stand inside of a query")


def _check_table_function(call: dict[str, Any], scans: Collection[str]) -> None:
    if call.get("class") != "FUNCTION":
        raise StatementNotSupported("only a function can stand here")
    name = fold(str(call.get("function_name", "")))
    if name == SCAN:
        first = call["children"][0] if call.get("children") else {}
        value = first.get("value", {}).get("value") if first.get("class") == "CONSTANT" else None
        if value not in scans:
            raise _refused_table_function(name)
    elif name not in functions.TABLE:
        raise _refused_table_function(name)


def _refused_table_function(name: str) -> StatementNotSupported:
    return StatementNotSupported(
        f"the table function {name} may not be used",
        hint="data comes in through tables, and files through lakehold load",
    )


def _near(name: str) -> str | None:
    from difflib import get_close_matches

    found = get_close_matches(name, functions.CALLABLE, n=3)
    return f"did you mean {', '.join(found)}?" if found else None
