"""Results in the terminal and in files: tables, CSV, JSON, Parquet, Arrow, Markdown."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lakehold.client import InterfaceError, Statement
from lakehold.client.cursor import sql_type
from lakehold.client.transport import ARROW
from lakehold.values import json_values

Format = Literal["table", "csv", "json", "ndjson", "parquet", "arrow", "markdown", "expanded"]
FORMATS: tuple[Format, ...] = get_args(Format)

MEDIA: dict[str, str] = {
    "csv": "text/csv",
    "json": "application/json",
    "ndjson": "application/x-ndjson",
}
"""Formats that the server writes; they are passed on as they come."""

CELL_CHARACTERS_MAX = 500
_BY_SUFFIX: dict[str, Format] = {
    ".csv": "csv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".md": "markdown",
    ".txt": "table",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """The first rows of a result, as text.

    Attributes:
        more: whether the result has more rows than these.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[str | None, ...]]
    more: bool


def format_for(path: Path) -> Format:
    """The format that a file's name asks for.

    Raises:
        InterfaceError: its suffix says nothing.
    """
    found = _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        raise InterfaceError(
            f"the suffix of {path.name} names no format",
            hint="Add --format " + "|".join(FORMATS),
        )
    return found


def media_for(form: Format) -> str:
    """The media type to ask the server for."""
    return MEDIA.get(form, ARROW)


def read_rows(statement: Statement, limit: int | None) -> Rows:
    """The first ``limit`` rows of a result."""
    reader = statement.stream.reader()
    types = tuple(sql_type(field) for field in reader.schema)
    rows: list[tuple[str | None, ...]] = []
    more = False
    for batch in reader:
        room = batch.num_rows if limit is None else limit - len(rows)
        more = batch.num_rows > room
        part = batch.slice(0, room)
        columns = [
            [_cell(value) for value in json_values(column, kind)]
            for column, kind in zip(part.columns, types, strict=True)
        ]
        rows.extend(zip(*columns, strict=True))
        if more:
            break
    return Rows(tuple(reader.schema.names), types, rows, more)


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return _nested(value)
    return str(value)


def _nested(value: Any) -> str:
    """A nested value as SQL writes it."""
    if isinstance(value, dict):
        inner = ", ".join(f"{name!r}: {_nested(item)}" for name, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_nested(item) for item in value) + "]"
    return "NULL" if value is None else str(_cell(value))


# --- for people -----------------------------------------------------------------------------


def print_rows(console: Console, rows: Rows, *, expanded: bool, pager: bool) -> None:
    """Print rows as a table, or each as a list of its columns; through a pager if too large."""
    text = render_expanded(rows) if expanded else render_table(rows, styled=console.is_terminal)
    lines = text.count("\n")
    width = max((len(line) for line in text.splitlines()[:3]), default=0)
    too_large = lines > console.height - 2 or (not expanded and width > console.width)
    less = shutil.which("less") if pager and console.is_terminal and too_large else None
    if less is None:
        console.file.write(text)
        console.file.flush()
        return
    try:
        subprocess.run([less, "-SRFX"], input=text.encode(), check=False)
    except KeyboardInterrupt:
        console.print()


def render_table(rows: Rows, *, styled: bool) -> str:
    """An aligned table: numbers to the right, NULL apart from an empty text."""
    table = Table(box=box.ROUNDED, header_style="bold", show_edge=True, pad_edge=True)
    for name, kind in zip(rows.names, rows.types, strict=True):
        justify: Literal["left", "right"] = "right" if _is_number(kind) else "left"
        table.add_column(Text(_clean(name)), justify=justify, no_wrap=True, overflow="crop")
    for row in rows.rows:
        table.add_row(*(_styled(value) for value in row))
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=styled,
        width=100_000,
        color_system="auto" if styled else None,
    )
    console.print(table, crop=False)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _styled(value: str | None) -> Text:
    if value is None:
        return Text("NULL", style="dim italic")
    text = _clean(value)
    if len(text) > CELL_CHARACTERS_MAX:
        text = text[:CELL_CHARACTERS_MAX] + "…"
    return Text(text)


def _clean(text: str) -> str:
    """Without control characters: data must not steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else {"\n": "↵", "\t": "→"}.get(c, "�") for c in text)


def render_expanded(rows: Rows) -> str:
    """One column a line."""
    width = max((len(name) for name in rows.names), default=0)
    lines: list[str] = []
    for number, row in enumerate(rows.rows, 1):
        lines.append(f"─[ row {number} ]" + "─" * max(4, width))
        for name, value in zip(rows.names, row, strict=True):
            lines.append(f"{_clean(name):<{width}} │ {'NULL' if value is None else _clean(value)}")
    return "".join(line + "\n" for line in lines)


def render_markdown(rows: Rows) -> str:
    """A GitHub-flavoured Markdown table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"

    rule = ["---:" if _is_number(kind) else "---" for kind in rows.types]
    body = (line(["" if v is None else _clean(v) for v in row]) for row in rows.rows)
    return line([_clean(name) for name in rows.names]) + line(rule) + "".join(body)


def _is_number(kind: str) -> bool:
    return kind.partition("(")[0] in {
        *(
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
            "FLOAT",
            "DOUBLE",
            "DECIMAL",
        ),
        *("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    }


# --- for machines ---------------------------------------------------------------------------


def write_result(statement: Statement, form: Format, target: IO[bytes]) -> int | None:
    """Write a whole result; return the number of rows where it is known."""
    if form in MEDIA:
        for piece in statement.stream.pieces():
            target.write(piece)
        return None
    if form == "parquet":
        return _write_batches(statement, target, pa.parquet.ParquetWriter)
    if form == "arrow":
        return _write_batches(statement, target, pa.ipc.new_file)
    rows = read_rows(statement, None)
    renderers: dict[str, Callable[[Rows], str]] = {
        "markdown": render_markdown,
        "expanded": render_expanded,
        "table": lambda found: render_table(found, styled=False),
    }
    target.write(renderers[form](rows).encode())
    return len(rows.rows)


def _write_batches(statement: Statement, target: IO[bytes], writer_of: Any) -> int:
    reader = statement.stream.reader()
    count = 0
    with writer_of(target, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def open_output(path: Path | None) -> IO[bytes]:
    """The file to write to, or the standard output.

    Raises:
        InterfaceError: the file cannot be written.
    """
    if path is None:
        return sys.stdout.buffer
    try:
        return path.open("wb")
    except OSError as error:
        raise InterfaceError(f"{path} cannot be written: {error.strerror}") from error


def caret(sql: str, position: int | None) -> Iterator[str]:
    """The line of the statement that an error points at, with a caret below."""
    if position is None or not 0 < position <= len(sql) + 1:
        return
    start = sql.rfind("\n", 0, position - 1) + 1
    end = sql.find("\n", start)
    number = sql.count("\n", 0, start) + 1
    line = sql[start : end if end >= 0 else len(sql)]
    head = f"LINE {number}: "
    yield head + line
    yield " " * (len(head) + position - 1 - start) + "^"
