"""Reading one file of a client with a DuckDB of its own that can reach that folder and no more.

CSV keeps what does not fit in DuckDB's tables of rejects. JSON is read as lines, or as the
elements of an array, and each value is cast for itself, because DuckDB's JSON reader cannot tell
which rows it dropped. Line numbers count from 1, blank lines and the header included; elements
of an array are counted likewise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import msgspec
import pyarrow as pa

from lakehold.engines.duckdb import json_fit
from lakehold.engines.duckdb.errors import from_duckdb
from lakehold.engines.duckdb.json_fit import literal as _literal
from lakehold.engines.duckdb.packed import first_and_last
from lakehold.engines.result import EngineColumn
from lakehold.errors import InvalidValue

FileKind = Literal["csv", "ndjson", "json", "parquet"]

MEMORY = "1GB"
BATCH_ROWS = 122_880
SAMPLE_ROWS = 100_000
"""Rows from which the types of a file are inferred."""
SAMPLE_BYTES = 64 * 1024 * 1024
REJECTS_MAX = 100_000
"""Rejected rows that are kept; a load with more is refused."""
LINE_BYTES_MAX = 16 * 1024 * 1024
ELEMENT_BYTES_MAX = 64 * 1024 * 1024
REJECTED_TEXT_MAX = 1_000
_NUMBERED = re.compile(r"_\d+\Z")


@dataclass(frozen=True, slots=True)
class Reject:
    """A row of a file that does not fit.

    Attributes:
        line: its number in the file, from 1; of a JSON array, the element's.
        column: the first column that does not fit, where it is one.
        reason: why.
        text: the row as it stands in the file, cut where it is long.
    """

    line: int
    column: str | None
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class FileOptions:
    """How a file is written.

    Attributes:
        compression: ``none``, ``gzip`` or ``zstd``.
        delimiter: of CSV; found out where it is not given.
        header: whether a CSV file begins with names; found out where it is not given.
    """

    kind: FileKind
    compression: Literal["none", "gzip", "zstd"] = "none"
    delimiter: str | None = None
    header: bool | None = None


class FileReader:
    """Reads one file. Not thread safe.

    Args:
        path: the file; nothing outside of its folder can be reached.

    Raises:
        InvalidValue: it is packed, and damaged or cut off.
    """

    def __init__(self, path: Path, options: FileOptions, *, memory: str = MEMORY) -> None:
        self._path = path
        self._options = options
        self._dialect: tuple[str, ...] | None = None
        self._line_rejects: list[Reject] = []
        self._is_array = False
        self._sampled_whole = False
        self.has_header = True
        self._ends = (b"", b"")
        if options.kind == "json" or options.compression != "none":
            self._ends = first_and_last(path, options.compression)
        folder = _literal(str(path.parent))
        self._database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": memory,
                "temp_directory": str(path.parent),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
        for statement in (
            f"SET allowed_directories = [{folder}]",
            "SET enable_external_access = false",
            "SET TimeZone = 'UTC'" if _has_icu(self._database) else "SELECT 1",
            "SET lock_configuration = true",
        ):
            self._database.execute(statement)

    def infer(self) -> tuple[EngineColumn, ...]:
        """Find out the columns.

        Raises:
            InvalidValue: the file is not of its kind, or has no columns.
        """
        if self._is_json:
            return self._infer_lines()
        if self._options.kind == "csv":
            return self._sniff()
        return self._described(f"SELECT * FROM {self._source()}")

    def read(self, columns: Sequence[EngineColumn], *, exact: bool = False) -> pa.RecordBatchReader:
        """The rows that fit ``columns``, as they are read. Ask for ``rejects`` after the last.

        Args:
            exact: JSON that has keys beside those of the columns does not fit.
        """
        if self._is_json:
            return self._read_lines(columns, exact=exact)
        if self._options.kind == "csv":
            sql = f"SELECT * FROM {self._csv(columns)}"
        else:
            wanted = ", ".join(
                f"CAST({_name(c.name)} AS {c.type}) AS {_name(c.name)}" for c in columns
            )
            sql = f"SELECT {wanted} FROM {self._source()}"
        reader = self._run(sql).to_arrow_reader(BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, _translated(reader))

    @property
    def _is_json(self) -> bool:
        return self._options.kind in ("ndjson", "json")

    def rejects(self) -> list[Reject]:
        """The rows that did not fit, once all are read.

        Raises:
            InvalidValue: if there are more than can be kept: none may be lost unseen.
        """
        if self._options.kind != "csv":
            return self._line_rejects
        kept = self._run("SELECT count(*) FROM reject_errors").fetchone()
        if kept is not None and kept[0] > REJECTS_MAX:
            raise InvalidValue(
                f"more than {REJECTS_MAX:,} values do not fit; nothing was written",
                hint="look at the types of the columns, the delimiter and the header",
            )
        rows = self._run(
            "SELECT line, arg_min(column_name, column_idx), arg_min(error_message, column_idx), "
            "any_value(csv_line) FROM reject_errors GROUP BY line ORDER BY line"
        ).fetchall()
        return [
            Reject(int(line), column, reason, (text or "")[:REJECTED_TEXT_MAX])
            for line, column, reason, text in rows
        ]

    def close(self) -> None:
        """Close the file. Idempotent."""
        with suppress(duckdb.Error):
            self._database.interrupt()
        self._database.close()

    # --- CSV ------------------------------------------------------------------------------

    def _sniff(self) -> tuple[EngineColumn, ...]:
        options = [
            f"sample_size = {SAMPLE_ROWS}",
            "store_rejects = true",
            *self._given(),
        ]
        found = self._run(
            "SELECT Delimiter, Quote, Escape, NewLineDelimiter, SkipRows, HasHeader, DateFormat, "
            f"TimestampFormat, Columns FROM sniff_csv({self._literal_path()}, {', '.join(options)})"
        ).fetchone()
        assert found is not None
        delimiter, quote, escape, new_line, skip, header, dates, moments, columns = found
        self.has_header = bool(header)
        dialect = [
            f"delim = {_literal(delimiter)}",
            f"quote = {_literal('' if quote == '(empty)' else quote)}",
            f"escape = {_literal('' if escape == '(empty)' else escape)}",
            f"skip = {int(skip)}",
            f"header = {str(bool(header)).lower()}",
        ]
        if new_line in {"\\n", "\\r", "\\r\\n"}:
            dialect.append(f"new_line = '{new_line}'")
        dialect += [f"dateformat = {_literal(dates)}"] if dates else []
        dialect += [f"timestampformat = {_literal(moments)}"] if moments else []
        self._dialect = tuple(dialect)
        return tuple(EngineColumn(column["name"], column["type"]) for column in columns)

    def _given(self) -> list[str]:
        given = [f"compression = {_literal(self._options.compression)}"]
        if self._options.delimiter is not None:
            given.append(f"delim = {_literal(self._options.delimiter)}")
        if self._options.header is not None:
            given.append(f"header = {str(self._options.header).lower()}")
        return given

    def _csv(self, columns: Sequence[EngineColumn]) -> str:
        if self._dialect is None:
            self._sniff()
        assert self._dialect is not None
        types = ", ".join(f"{_literal(c.name)}: {_literal(c.type)}" for c in columns)
        options = [
            "auto_detect = false",
            f"columns = {{{types}}}",
            "store_rejects = true",
            f"rejects_limit = {REJECTS_MAX + 1}",
            f"compression = {_literal(self._options.compression)}",
            *self._dialect,
        ]
        return f"read_csv({self._literal_path()}, {', '.join(options)})"

    # --- JSON -----------------------------------------------------------------------------

    def _lines(self) -> str:
        """Numbered lines or elements, and whether they are JSON objects."""
        texts = self._elements() if self._options.kind == "json" else self._text_lines()
        return (
            "(SELECT number, line, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' "
            "ELSE false END AS is_object "
            f"FROM (SELECT row_number() OVER () AS number, line FROM {texts}) "
            "WHERE trim(line) <> '')"
        )

    def _text_lines(self) -> str:
        """One column, no quoting."""
        return (
            f"read_csv({self._literal_path()}, columns = {{'line': 'VARCHAR'}}, "
            "auto_detect = false, header = false, delim = chr(31), quote = '', escape = '', "
            f"null_padding = true, strict_mode = false, max_line_size = {LINE_BYTES_MAX}, "
            f"compression = {_literal(self._options.compression)})"
        )

    def _elements(self) -> str:
        """The elements of an array; or objects one after the other.

        Raises:
            InvalidValue: the array has no end. Behind a comma the engine would not notice.
        """
        self._is_array = self._ends[0] == b"["
        if self._is_array and self._ends[1] != b"]":
            raise InvalidValue("the JSON array is cut off: it has no end")
        form = "array" if self._is_array else "unstructured"
        compression = _literal(_json_compression(self._options))
        return (
            f"(SELECT CAST(json AS VARCHAR) AS line FROM read_json_objects({self._literal_path()}, "
            f"format = '{form}', compression = {compression}, "
            f"maximum_object_size = {ELEMENT_BYTES_MAX}))"
        )

    def _infer_lines(self) -> tuple[EngineColumn, ...]:
        sample = self._path.with_name(self._path.name + "-sample")
        try:
            self._write_sample(sample)
            source = (
                f"read_json({_literal(str(sample))}, format = 'newline_delimited', "
                f"records = true, sample_size = -1, maximum_object_size = {ELEMENT_BYTES_MAX})"
            )
            columns = self._described(f"SELECT * FROM {source}")
            self._check_keys(sample, columns)
            return columns
        finally:
            sample.unlink(missing_ok=True)

    def _write_sample(self, sample: Path) -> None:
        reader = self._run(
            f"SELECT line FROM {self._lines()} WHERE is_object LIMIT {SAMPLE_ROWS}"
        ).to_arrow_reader(2048)
        written = rows = 0
        with sample.open("w", encoding="utf-8") as file:
            for batch in _translated(reader):
                for line in batch.column(0).to_pylist():
                    file.write(line.replace("\r", " ").replace("\n", " ") + "\n")
                    written += len(line)
                rows += batch.num_rows
                if written > SAMPLE_BYTES:
                    break
        self._sampled_whole = written <= SAMPLE_BYTES and rows < SAMPLE_ROWS
        if not written:
            raise InvalidValue(f"no {self._unit} of the file is a JSON object")

    def _check_keys(self, sample: Path, columns: Sequence[EngineColumn]) -> None:
        """Keys that differ in case alone would be one column's name, and one would be lost."""
        if not any(_NUMBERED.search(column.name) for column in columns):
            return  # the engine has not put a number to any name
        keys = self._run(
            "SELECT DISTINCT unnest(json_keys(json)) FROM "
            f"read_json_objects({_literal(str(sample))}, format = 'newline_delimited', "
            f"maximum_object_size = {ELEMENT_BYTES_MAX})"
        ).fetchall()
        seen: dict[str, str] = {}
        for (key,) in sorted(keys):
            other = seen.setdefault(key.lower(), key)
            if other != key:
                raise InvalidValue(
                    f"the keys {other!r} and {key!r} differ in case alone",
                    hint="Say which columns there are: id BIGINT, name VARCHAR.",
                )

    @property
    def _unit(self) -> str:
        return "element" if self._is_array else "line"

    def _read_lines(self, columns: Sequence[EngineColumn], *, exact: bool) -> pa.RecordBatchReader:
        paths = ", ".join(_literal(json_fit.path(column.name)) for column in columns)
        packed = ", ".join(
            f"{_name(column.name)} := {json_fit.cast(f'found[{position}]', column.type)}"
            for position, column in enumerate(columns, 1)
        )
        unfit = "\n".join(
            f"WHEN {json_fit.unfit(f'found[{position}]', duckdb.sqltype(column.type), exact=exact)} "
            f"THEN {position}"
            for position, column in enumerate(columns, 1)
        )
        if exact and not self._sampled_whole:
            known = json_fit.unknown_keys("line", [column.name for column in columns])
            unfit += f"\nWHEN {known} THEN 0"
        # -1: no object; 0: more keys than columns; else the position of the first bad column.
        sql = (
            f"SELECT {', '.join('v.' + _name(c.name) for c in columns)}, number, "
            "CASE WHEN NOT is_object THEN -1 "
            f"{unfit} END AS unfit, "
            "CASE WHEN unfit IS NOT NULL THEN line END AS rejected, "
            "CASE WHEN unfit > 0 THEN left(CAST(found[unfit] AS VARCHAR), 100) END AS bad "
            "FROM (SELECT number, line, is_object, found, "
            f"struct_pack({packed}) AS v FROM (SELECT number, line, is_object, "
            f"CASE WHEN is_object THEN json_extract(line, [{paths}]) END AS found "
            f"FROM {self._lines()}))"
        )
        reader = self._run(sql).to_arrow_reader(BATCH_ROWS)
        width = len(columns)
        schema = pa.schema([reader.schema.field(position) for position in range(width)])
        return pa.RecordBatchReader.from_batches(schema, self._fitting(reader, schema, columns))

    def _fitting(
        self,
        reader: pa.RecordBatchReader,
        schema: pa.Schema,
        columns: Sequence[EngineColumn],
    ) -> Iterator[pa.RecordBatch]:
        width = len(columns)
        for batch in _translated(reader):
            fits = batch.column(width + 1).is_null()
            if fits.false_count:
                self._reject_lines(batch.filter(pa.compute.invert(fits)), columns)
                batch = batch.filter(fits)
            yield pa.RecordBatch.from_arrays(batch.columns[:width], schema=schema)

    def _reject_lines(self, batch: pa.RecordBatch, columns: Sequence[EngineColumn]) -> None:
        if len(self._line_rejects) + batch.num_rows > REJECTS_MAX:
            raise InvalidValue(
                f"more than {REJECTS_MAX:,} rows do not fit; nothing was written",
                hint="look at the types of the columns",
            )
        found = (column.to_pylist() for column in batch.columns[len(columns) :])
        names = {column.name for column in columns}
        for number, place, text, bad in zip(*found, strict=True):
            column, reason = None, f"the {self._unit} is not a JSON object"
            if place > 0:
                column = columns[place - 1].name
                reason = f"{bad} is not a {columns[place - 1].type}"
            elif place == 0:
                extra = [key for key in msgspec.json.decode(text) if key not in names]
                reason = f"no column is named {extra[0][:100]!r}"
            elif not _is_json(text):
                reason = f"the {self._unit} is not JSON"
            self._line_rejects.append(Reject(int(number), column, reason, text[:REJECTED_TEXT_MAX]))

    # --- all ------------------------------------------------------------------------------

    def _source(self) -> str:
        return f"read_parquet({self._literal_path()})"

    def _described(self, sql: str) -> tuple[EngineColumn, ...]:
        rows = self._run(f"DESCRIBE {sql}").fetchall()
        return tuple(EngineColumn(str(row[0]), str(row[1])) for row in rows)

    def _literal_path(self) -> str:
        return _literal(str(self._path))

    def _run(self, sql: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._database.execute(sql)
        except duckdb.Error as error:
            raise _without_path(from_duckdb(error), self._path) from None


def _translated(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
        raise InvalidValue(f"the file cannot be read: {str(error)[:500]}") from None


def _without_path(error: Any, path: Path) -> InvalidValue:
    """The file's place on the server is nobody's business."""
    text = str(error.message).replace(str(path), "the file")
    return InvalidValue(f"the file cannot be read: {text[:1000]}", hint=error.hint)


def _json_compression(options: FileOptions) -> str:
    return "uncompressed" if options.compression == "none" else options.compression


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True


def _has_icu(database: duckdb.DuckDBPyConnection) -> bool:
    from lakehold.engines.duckdb.engine import extension_path

    try:
        database.execute(f"LOAD {_literal(str(extension_path('icu')))}")
    except Exception:
        return False
    return True
