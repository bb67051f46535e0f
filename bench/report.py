"""Tables of figures: printed, and written into the docs between marks."""

from __future__ import annotations

import re
import statistics
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.server import machine

DOCUMENT = Path(__file__).parent.parent / "docs" / "benchmarks.md"


@dataclass
class Report:
    """A table with a title and remarks. Cells are text."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def text(self) -> str:
        """The table in Markdown."""
        lines = [f"### {self.title}", ""]
        lines.append("| " + " | ".join(self.columns) + " |")
        lines.append("|" + "|".join(" --- " for _ in self.columns) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.remarks:
            lines += ["", *(f"- {remark}" for remark in self.remarks)]
        return "\n".join(lines)


def write(name: str, report: Report) -> None:
    """Put a report into the document, in the place of its former run."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    today = datetime.now(UTC).date().isoformat()
    body = f"{begin}\n{report.text()}\n\n*{machine()}, {today}*\n{end}"
    text = DOCUMENT.read_text() if DOCUMENT.exists() else "# Benchmarks\n"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if pattern.search(text):
        text = pattern.sub(lambda _: body, text)
    else:
        text = text.rstrip() + f"\n\n{body}\n"
    DOCUMENT.write_text(text)


def ms(seconds: float) -> str:
    return f"{seconds * 1000:,.1f} ms" if seconds < 10 else f"{seconds:,.1f} s"


def ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}×"


def median(values: list[float]) -> float:
    return statistics.median(values)


def share(values: list[float], part: float) -> float:
    """The value below which ``part`` of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]
