"""Changes of which the engine's plan does not read the target.

DuckDB-Iceberg 1.5.5 fails with an internal error, and the whole instance with it, on an UPDATE,
or a MERGE with an UPDATE, whose plan has lost the scan of its target (``WHERE false``, a source
that is known to be empty, an ``ON`` that cannot hold). EXPLAIN of it is safe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SCAN = "ICEBERG_SCAN"
PRUNED = frozenset({"EMPTY_RESULT", "DUMMY_SCAN", "COLUMN_DATA_SCAN"})
"""Operators that may stand where the optimizer found that there is nothing to scan."""

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Runs text on the engine."""


@dataclass(frozen=True, slots=True)
class Spare:
    """What to do if nothing of the target is read.

    Attributes:
        ctes: the WITH of the change, with a blank at its end.
        probe: from FROM on, a query that has a row if the change finds one of the target.
        rest: the change without what needs such a row; empty if nothing is left.
    """

    ctes: str
    probe: str
    rest: str = ""

    def changed(self, change: Callable[[str], str]) -> Spare:
        """The same with its texts changed."""
        return Spare(change(self.ctes), change(self.probe), change(self.rest))


def effective(
    text: str, spare: Spare | None, rows: Rows, parameters: Collection[object]
) -> str | None:
    """The text that is safe to run; ``None`` if it would change nothing.

    Args:
        text: the change, as the engine would get it.
        spare: for an UPDATE or a MERGE with an UPDATE; ``None`` for what is always safe.
        parameters: of the change; a mapping or a sequence. Each must be named in any text.
    """
    if spare is None:
        return text
    names = (
        [f"${name}" for name in parameters]
        if isinstance(parameters, Mapping)
        else [f"${number}" for number in range(1, len(parameters) + 1)]
    )
    plan = rows(f"EXPLAIN (FORMAT json) {text}")
    operators = set(_operators(json.loads(plan[0][1])))
    if SCAN in operators:
        # What was pruned left a mark, unless the statement itself has such a source.
        if not operators & PRUNED or "iceberg_scan(" not in text:
            return text
        if rows(f"{spare.ctes}SELECT {', '.join(['1', *names])} {spare.probe} LIMIT 1"):
            return text
    if not spare.rest or not names:
        return spare.rest or None
    unused = " AND ".join(f"{name} IS NULL" for name in names)
    return f"{spare.rest} WHEN NOT MATCHED AND false AND {unused} THEN DO NOTHING"


def _operators(nodes: list[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        yield str(node.get("name", "")).strip()
        yield from _operators(node.get("children") or [])
