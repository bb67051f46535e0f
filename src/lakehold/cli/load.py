"""``lakehold load``: files into a table."""

from __future__ import annotations

import csv
import glob
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from lakehold.cli.profiles import (
    EXIT_FAILED,
    ProfileOption,
    TokenFileOption,
    UrlOption,
    resolve,
    shown_errors,
    transport,
)
from lakehold.client import Error, InterfaceError, Transport

PIECE_BYTES = 1024 * 1024
PREVIEW_BYTES = 4 * 1024 * 1024
REJECTS_PRINTED_MAX = 10
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_WHOLE = frozenset({"parquet", "arrow", "json"})
"""Formats whose beginning alone cannot be read."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to load and how it is written."""

    path: Path
    format: str
    compression: str


def load(
    files: Annotated[list[str], typer.Argument(help="Files or patterns: CSV, JSON, Parquet …")],
    into: Annotated[str, typer.Option("--into", help="The table, as schema.table.")],
    create: Annotated[bool, typer.Option("--create", help="Make the table.")] = False,
    append: Annotated[bool, typer.Option("--append", help="Add to the table (default).")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put it in the table's place.")
    ] = False,
    form: Annotated[
        str | None,
        typer.Option("--format", help="csv, tsv, json, ndjson, parquet or arrow."),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option("--schema", help="Names and types: 'id BIGINT, name VARCHAR'."),
    ] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of CSV; found out otherwise.")] = None,
    header: Annotated[bool | None, typer.Option(help="Whether CSV begins with names.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse files with bad rows.")] = False,
    rejects: Annotated[
        Path | None,
        typer.Option("--rejects", help="Where to write the rows that do not fit."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Load files into a table, each in one statement.

    Ends with 0 if every row was loaded, 1 if a file failed or rows were rejected.
    """
    console = Console(stderr=True, highlight=False)
    with shown_errors(), transport(resolve(url, token_file, profile)) as opened:
        if sum((create, append, replace)) > 1:
            raise InterfaceError("choose one of --create, --append and --replace")
        sources = find_sources(files, form)
        options = _given(columns=columns, delimiter=delimiter, header=header, strict=strict)
        asks = not yes and sys.stdin.isatty()
        if asks and not _confirmed(opened, sources[0], options, into, console):
            raise typer.Exit(EXIT_FAILED)
        mode = "create" if create else "replace" if replace else "append"
        loading = _Loading(opened, into, options, console, rejects or Path("rejects.csv"))
        well = loading.run(sources, mode)
    if not well:
        raise typer.Exit(EXIT_FAILED)


def find_sources(patterns: list[str], form: str | None) -> list[SourceFile]:
    """The files that the patterns name, in order.

    Raises:
        InterfaceError: a pattern names nothing, or a file's format cannot be told.
    """
    sources: list[SourceFile] = []
    for pattern in patterns:
        paths = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise InterfaceError(f"there is no file {pattern}")
        sources.extend(_source(Path(path), form) for path in paths if not Path(path).is_dir())
    if not sources:
        raise InterfaceError("there are no files to load")
    return sources


def _source(path: Path, form: str | None) -> SourceFile:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1], "none") if suffixes else "none"
    if compression != "none":
        suffixes.pop()
    found = form or (_FORMATS.get(suffixes[-1]) if suffixes else None)
    if found is None:
        raise InterfaceError(
            f"the format of {path} cannot be told from its name",
            hint="Add --format csv|tsv|json|ndjson|parquet|arrow.",
        )
    return SourceFile(path, found, compression)


def _given(**options: Any) -> dict[str, str]:
    texts = {name: value for name, value in options.items() if value is not None}
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in texts.items()
    }


# --- preview --------------------------------------------------------------------------------


def _confirmed(
    opened: Transport,
    source: SourceFile,
    options: dict[str, str],
    into: str,
    console: Console,
) -> bool:
    answer = _preview(opened, source, options)
    table = Table(title=f"{source.path.name}, as it would be loaded")
    for column in answer["columns"]:
        table.add_column(Text(f"{column['name']}\n{column['type']}"), overflow="ellipsis")
    for row in answer["rows"][:10]:
        table.add_row(*(Text("NULL", style="dim") if v is None else Text(str(v)) for v in row))
    console.print(table)
    return typer.confirm(f"Load into {into}?", default=True, err=True)


def _preview(opened: Transport, source: SourceFile, options: dict[str, str]) -> Any:
    params = {**options, "format": source.format, "compression": source.compression}
    whole = source.format in _WHOLE or source.compression != "none"

    def content() -> Iterator[bytes]:
        with _open(source.path) as file:
            if whole:
                while piece := file.read(PIECE_BYTES):
                    yield piece
                return
            beginning = file.read(PREVIEW_BYTES)
            cut = len(beginning) == PREVIEW_BYTES  # then the last line may be half a line
            yield beginning[: beginning.rfind(b"\n") + 1 or None] if cut else beginning

    return opened.call("POST", "/v1/load/preview", content=content(), params=params, timeout_s=None)


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InterfaceError(f"{path} cannot be read: {error.strerror}") from error


# --- loading --------------------------------------------------------------------------------


class _Loading:
    def __init__(
        self,
        opened: Transport,
        table: str,
        options: dict[str, str],
        console: Console,
        rejects: Path,
    ) -> None:
        self._opened, self._table, self._options = opened, table, options
        self._console, self._rejects_path = console, rejects
        self._rejects: list[tuple[str, int, str, str, str]] = []
        self._rows = self._rejected = self._failed = 0

    def run(self, sources: list[SourceFile], mode: str) -> bool:
        """Load all; tells whether every row of every file was loaded."""
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        with bar:
            for number, source in enumerate(sources):
                self._load(source, mode if number == 0 else "append", bar)
        self._summarize(len(sources))
        return not self._rejected and not self._failed

    def _load(self, source: SourceFile, mode: str, bar: Progress) -> None:
        params = {
            **self._options,
            "table": self._table,
            "mode": mode,
            "format": source.format,
            "compression": source.compression,
        }
        task = bar.add_task(source.path.name, total=source.path.stat().st_size)

        def content() -> Iterator[bytes]:
            with _open(source.path) as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
                    bar.advance(task, len(piece))

        try:
            answer = self._opened.call(
                "POST", "/v1/load", content=content(), params=params, timeout_s=None
            )
        except Error as error:
            self._failed += 1
            self._console.print(f"{source.path}: {error}", style="red", markup=False)
            if mode != "append":
                raise
            return
        finally:
            bar.remove_task(task)
        self._rows += answer["rows"]
        self._rejected += answer["rejected"]
        for row in answer["rejects"]:
            self._rejects.append(
                (
                    str(source.path),
                    row["line"],
                    row["column"] or "",
                    row["reason"],
                    row["text"],
                )
            )

    def _summarize(self, files: int) -> None:
        print_line = self._console.print
        print_line(
            f"{_counted(self._rows, 'row')} of {_counted(files, 'file')} loaded into {self._table}",
            markup=False,
        )
        if self._failed:
            print_line(f"{self._failed:,} files failed", style="red")
        if not self._rejected:
            return
        print_line(f"rows that do not fit: {self._rejected:,}", style="yellow")
        for path, line, column, reason, _ in self._rejects[:REJECTS_PRINTED_MAX]:
            where = f"{path}:{line}" + (f" ({column})" if column else "")
            print_line(f"  {where}: {reason.splitlines()[0]}", markup=False)
        try:
            with self._rejects_path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("file", "line", "column", "reason", "text"))
                writer.writerows(self._rejects)
            print_line(f"they are in {self._rejects_path}", markup=False)
        except OSError as error:
            print_line(f"{self._rejects_path} cannot be written: {error}", style="red")


def _counted(number: int, unit: str) -> str:
    return f"{number:,} {unit}" if number == 1 else f"{number:,} {unit}s"
