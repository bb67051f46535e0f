"""Loading a staged file into a table: what it holds, what fits, and one governed statement.

The file is read by a DuckDB of its own that can reach nothing else; what comes out of it is
data like any other: ``INSERT INTO … SELECT … FROM input`` passes the gateway.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID

import pyarrow as pa

from lakehold.engines import EngineColumn as FileColumn
from lakehold.engines.duckdb.files import FileKind, FileOptions, FileReader, Reject
from lakehold.errors import (
    InvalidRequest,
    InvalidValue,
    LakeholdError,
    UnsupportedMediaType,
)
from lakehold.ingest.staging import ArrowInput, StagedFile
from lakehold.names import check_name, quote

LoadMode = Literal["append", "create", "replace"]
Compression = Literal["none", "gzip", "zstd"]

PREVIEW_ROWS = 20
REJECTS_SHOWN_MAX = 1_000
"""Rejected rows that a summary lists; it counts all of them."""
COLUMNS_MAX = 10_000
_TYPE = re.compile(r'[A-Za-z][A-Za-z0-9_ (),"\[\]]*\Z')
_NAME_PART = re.compile(r'"((?:[^"]|"")+)"|([^".\s]+)')
_KINDS: dict[str, FileKind] = {
    "csv": "csv",
    "tsv": "csv",
    "json": "json",
    "ndjson": "ndjson",
    "jsonl": "ndjson",
    "parquet": "parquet",
}

FORMATS = (*_KINDS, "arrow")

Execute = Callable[[str, Mapping[str, Any]], Any]
"""Runs one governed statement over relations, and returns the gateway's ``Result``."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a file is to be loaded.

    Attributes:
        table: its name as SQL writes it; ``None`` for a preview.
        format: one of ``FORMATS``.
        columns: names and types of the file's columns; inferred where they are not given.
        strict: refuse the whole file if any of its rows does not fit.
    """

    format: str
    table: str | None = None
    mode: LoadMode = "append"
    compression: Compression = "none"
    columns: tuple[FileColumn, ...] | None = None
    delimiter: str | None = None
    header: bool | None = None
    strict: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a file seems to hold."""

    columns: tuple[FileColumn, ...]
    rows: pa.Table
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What became of a file.

    Attributes:
        rows: rows written.
        rejected: rows that did not fit.
        rejects: the first of them.
    """

    table: str
    statement_id: UUID
    rows: int
    rejected: int
    rejects: tuple[Reject, ...]
    columns: tuple[FileColumn, ...]


def preview(staged: StagedFile, options: LoadOptions, rows: int = PREVIEW_ROWS) -> Preview:
    """Infer the columns of a file and read its first rows.

    Raises:
        InvalidValue: it is not of its format.
    """
    with _opened(staged, options) as source:
        taken: list[pa.RecordBatch] = []
        missing = rows
        reader = source.read(source.columns)
        for batch in reader:
            taken.append(batch.slice(0, missing))
            missing -= taken[-1].num_rows
            if missing <= 0:
                break
        table = pa.Table.from_batches(taken, schema=reader.schema)
        return Preview(source.columns, table, tuple(source.rejects()[:REJECTS_SHOWN_MAX]))


def load(
    staged: StagedFile,
    options: LoadOptions,
    execute: Execute,
    describe: Callable[[str], Sequence[FileColumn]],
) -> LoadSummary:
    """Write a file to a table in one statement.

    Args:
        describe: columns of the table that the session sees, for ``append``.

    Raises:
        InvalidValue: the file is not of its format; or ``strict``, and a row does not fit.
        InvalidRequest: the file's columns are not the table's.
        LakeholdError: what the gateway refuses or fails with; nothing is written then.
    """
    assert options.table is not None
    table = table_name(options.table)
    with _opened(staged, options) as source:
        columns = source.columns
        names = [column.name for column in columns]
        if options.mode == "append":
            names, columns = _matched(source, describe(table), options)
        rows = _Rows(source, columns, strict=options.strict)
        result = rows.write(execute, _statement(table, options.mode, names), names)
        rejects = source.rejects()
        return LoadSummary(
            table=options.table,
            statement_id=result.statement_id,
            rows=result.affected if result.affected is not None else rows.count,
            rejected=len(rejects),
            rejects=tuple(rejects[:REJECTS_SHOWN_MAX]),
            columns=tuple(
                replace(column, name=name) for name, column in zip(names, columns, strict=True)
            ),
        )


def table_name(text: str) -> str:
    """Read a table's name as SQL writes it, and return it with every part quoted.

    Raises:
        InvalidRequest: it is not a name.
    """
    parts: list[str] = []
    position = 0
    while True:
        match = _NAME_PART.match(text, position)
        if match is None:
            raise InvalidRequest(
                f"{text[:200]!r} is not the name of a table",
                hint="Write it as schema.table.",
            )
        part = match[1].replace('""', '"') if match[1] is not None else match[2]
        parts.append(quote(check_name(part)))
        position = match.end()
        if position == len(text):
            return ".".join(parts)
        if text[position] != ".":
            raise InvalidRequest(f"{text[:200]!r} is not the name of a table")
        position += 1


def parse_columns(text: str) -> tuple[FileColumn, ...]:
    """Read ``a INTEGER, "b c" DECIMAL(10,2)``.

    Raises:
        InvalidRequest: it is not a list of names and types.
    """
    columns: list[FileColumn] = []
    for part in _split_columns(text):
        match = _NAME_PART.match(part)
        sql_type = part[match.end() :].strip() if match is not None else ""
        if match is None or not _is_type(sql_type):
            raise InvalidRequest(
                f"{part[:200]!r} is not a column's name and type",
                hint="Write columns as: id BIGINT, name VARCHAR, price DECIMAL(10,2)",
            )
        name = match[1].replace('""', '"') if match[1] is not None else match[2]
        columns.append(FileColumn(check_name(name, "column"), sql_type))
    return tuple(columns)


def _is_type(text: str) -> bool:
    """Whether the text can be nothing but a type: it is put into SQL."""
    depth = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0 and text.count('"') % 2 == 0 and _TYPE.match(text) is not None


def _split_columns(text: str) -> Iterator[str]:
    depth, quoted, start = 0, False, 0
    for position, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "([":
            depth += 1
        elif not quoted and character in ")]":
            depth -= 1
        elif character == "," and not quoted and depth == 0:
            yield text[start:position].strip()
            start = position + 1
    yield text[start:].strip()


# --- sources --------------------------------------------------------------------------------


class _FileSource:
    """CSV, JSON and Parquet, through the engine's reader."""

    def __init__(self, staged: StagedFile, options: LoadOptions, kind: FileKind) -> None:
        delimiter = options.delimiter
        if delimiter is None and options.format == "tsv":
            delimiter = "\t"
        reading = FileOptions(kind, options.compression, delimiter, options.header)
        self._reader = FileReader(staged.path, reading)
        self._exact = options.columns is None  # who names columns may leave out others
        self.columns = options.columns or self._reader.infer()
        self.by_name = kind != "csv" or self._reader.has_header

    def read(self, columns: Sequence[FileColumn]) -> pa.RecordBatchReader:
        return self._reader.read(columns, exact=self._exact)

    def rejects(self) -> list[Reject]:
        return self._reader.rejects()

    def close(self) -> None:
        self._reader.close()


class _ArrowSource:
    """Arrow IPC streams and files; every row fits, or the gateway says why not."""

    by_name = True

    def __init__(self, staged: StagedFile, options: LoadOptions) -> None:
        if options.compression != "none":
            raise UnsupportedMediaType(
                "a compressed Arrow file cannot be read",
                hint="Arrow compresses inside of the file.",
            )
        self._input = ArrowInput(staged)
        self._stream = self._input.reader
        self.columns = tuple(
            FileColumn(field.name, str(field.type).upper()) for field in self._stream.schema
        )

    def read(self, columns: Sequence[FileColumn]) -> pa.RecordBatchReader:
        del columns  # the file says itself what its types are
        return self._stream

    def rejects(self) -> list[Reject]:
        return []

    def close(self) -> None:
        self._stream.close()


@contextmanager
def _opened(staged: StagedFile, options: LoadOptions) -> Iterator[_FileSource | _ArrowSource]:
    kind = _KINDS.get(options.format)
    if kind is None and options.format != "arrow":
        raise UnsupportedMediaType(
            f"there is no file format {options.format!r}",
            hint="There are " + ", ".join(FORMATS),
        )
    source = _ArrowSource(staged, options) if kind is None else _FileSource(staged, options, kind)
    try:
        if not source.columns:
            raise InvalidValue("the file has no columns")
        if len(source.columns) > COLUMNS_MAX:
            raise InvalidValue(f"the file has more than {COLUMNS_MAX:,} columns")
        yield source
    finally:
        source.close()


class _Rows:
    """The rows of a file as they stream into the statement."""

    def __init__(
        self,
        source: _FileSource | _ArrowSource,
        columns: Sequence[FileColumn],
        *,
        strict: bool,
    ) -> None:
        self._source, self._columns, self._strict = source, columns, strict
        self.count = 0
        self._failure: LakeholdError | None = None

    def write(self, execute: Execute, sql: str, names: Sequence[str]) -> Any:
        """Run the statement to its end; what the file fails with wins over the engine's words."""
        try:
            result = execute(sql, {"input": self._reader(names)})
            try:
                for _ in result.batches():
                    pass
            finally:
                result.close()
        except LakeholdError as error:
            if self._failure is not None:
                raise self._failure from error
            raise
        return result

    def _reader(self, names: Sequence[str]) -> pa.RecordBatchReader:
        """A reader whose columns bear the table's names."""
        stream = self._source.read(self._columns)
        fields = [field.with_name(name) for field, name in zip(stream.schema, names, strict=True)]
        schema = pa.schema(fields)
        return pa.RecordBatchReader.from_batches(schema, self._batches(stream, schema))

    def _batches(self, stream: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        try:
            for batch in stream:
                self.count += batch.num_rows
                yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)
            rejects = self._source.rejects()
            if rejects and self._strict:
                _refuse(rejects)
        except LakeholdError as error:
            self._failure = error
            raise


def _refuse(rejects: Sequence[Reject]) -> None:
    first = rejects[0]
    raise InvalidValue(
        f"{len(rejects):,} rows do not fit; the first is line {first.line}: {first.reason}",
        hint="Nothing was written. Without 'strict', the rows that fit are.",
    )


def _matched(
    source: _FileSource | _ArrowSource,
    target: Sequence[FileColumn],
    options: LoadOptions,
) -> tuple[list[str], tuple[FileColumn, ...]]:
    """The table's columns for the file's, with the table's types: ``01234`` stays a text."""
    known = {column.name.lower(): column for column in target}
    found = [known.get(column.name.lower()) for column in source.columns]
    if not source.by_name and len(source.columns) == len(target):
        found = list(target)
    missing = [
        column.name for column, match in zip(source.columns, found, strict=True) if match is None
    ]
    if missing:
        raise InvalidRequest(
            f"the table has no column {', '.join(quote(name) for name in missing[:10])}",
            hint="It has " + ", ".join(quote(column.name) for column in target[:50]) + ".",
        )
    matches = [match for match in found if match is not None]
    columns = tuple(
        FileColumn(column.name, column.type if options.columns else match.type)
        for column, match in zip(source.columns, matches, strict=True)
    )
    return [match.name for match in matches], columns


def _statement(table: str, mode: LoadMode, names: Sequence[str]) -> str:
    columns = ", ".join(quote(name) for name in names)
    if mode == "append":
        return f"INSERT INTO {table} ({columns}) SELECT {columns} FROM input"
    verb = "CREATE OR REPLACE TABLE" if mode == "replace" else "CREATE TABLE"
    return f"{verb} {table} AS SELECT {columns} FROM input"
