"""Reading one file of a client with a DuckDB of its own that can reach that folder and no more.

CSV keeps what does not fit in DuckDB's tables of rejects. Newline-delimited JSON is read as
lines, and each value is cast for itself, because DuckDB's JSON reader cannot tell which lines
it dropped. Line numbers count from 1, blank lines and the header included.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from lakehold.engines.duckdb.errors import from_duckdb
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
REJECTED_TEXT_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Reject:
    """A row of a file that does not fit.

    Attributes:
        line: its number in the file, from 1.
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
    """

    def __init__(self, path: Path, options: FileOptions, *, memory: str = MEMORY) -> None:
        self._path = path
        self._options = options
        self._dialect: tuple[str, ...] | None = None
        self._line_rejects: list[Reject] = []
        self.has_header = True
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
        if self._options.kind == "ndjson":
            return self._infer_lines()
        if self._options.kind == "csv":
            return self._sniff()
        return self._described(f"SELECT * FROM {self._source()}")

    def read(self, columns: Sequence[EngineColumn]) -> pa.RecordBatchReader:
        """The rows that fit ``columns``, as they are read. Ask for ``rejects`` after the last."""
        if self._options.kind == "ndjson":
            return self._read_lines(columns)
        if self._options.kind == "csv":
            sql = f"SELECT * FROM {self._csv(columns)}"
        else:
            wanted = ", ".join(
                f"CAST({_name(c.name)} AS {c.type}) AS {_name(c.name)}" for c in columns
            )
            sql = f"SELECT {wanted} FROM {self._source()}"
        reader = self._run(sql).to_arrow_reader(BATCH_ROWS)
        return pa.RecordBatchReader.from_batches(reader.schema, _translated(reader))

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

    # --- newline-delimited JSON -------------------------------------------------------------

    def _lines(self) -> str:
        """Numbered lines, and whether they are JSON objects. One column, no quoting."""
        return (
            "(SELECT number, line, CASE WHEN json_valid(line) THEN json_type(line) = 'OBJECT' "
            "ELSE false END AS is_object "
            "FROM (SELECT row_number() OVER () AS number, line FROM "
            f"read_csv({self._literal_path()}, columns = {{'line': 'VARCHAR'}}, "
            "auto_detect = false, header = false, delim = chr(31), quote = '', escape = '', "
            f"null_padding = true, strict_mode = false, max_line_size = {LINE_BYTES_MAX}, "
            f"compression = {_literal(self._options.compression)})) "
            "WHERE trim(line) <> '')"
        )

    def _infer_lines(self) -> tuple[EngineColumn, ...]:
        sample = self._path.with_name(self._path.name + "-sample")
        try:
            self._write_sample(sample)
            return self._described(
                f"SELECT * FROM read_json({_literal(str(sample))}, "
                "format = 'newline_delimited', records = true, sample_size = -1)"
            )
        finally:
            sample.unlink(missing_ok=True)

    def _write_sample(self, sample: Path) -> None:
        reader = self._run(
            f"SELECT line FROM {self._lines()} WHERE is_object LIMIT {SAMPLE_ROWS}"
        ).to_arrow_reader(2048)
        written = 0
        with sample.open("w", encoding="utf-8") as file:
            for batch in _translated(reader):
                for line in batch.column(0).to_pylist():
                    file.write(line + "\n")
                    written += len(line)
                if written > SAMPLE_BYTES:
                    break
        if not written:
            raise InvalidValue("no line of the file is a JSON object")

    def _read_lines(self, columns: Sequence[EngineColumn]) -> pa.RecordBatchReader:
        paths = ", ".join(_literal(_json_path(column.name)) for column in columns)
        packed = ", ".join(
            f"{_name(column.name)} := {_cast(f'found[{position}]', column.type)}"
            for position, column in enumerate(columns, 1)
        )
        unfit = " OR ".join(
            _unfit(f"found[{position}]", duckdb.sqltype(column.type))
            for position, column in enumerate(columns, 1)
        )
        sql = (
            f"SELECT {', '.join('v.' + _name(c.name) for c in columns)}, number, "
            f"NOT is_object OR coalesce({unfit}, false) AS unfit, "
            "CASE WHEN unfit THEN line END AS rejected FROM (SELECT number, line, is_object, found, "
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
            unfit = batch.column(width + 1)
            if unfit.true_count:
                self._reject_lines(batch.filter(unfit), columns)
                batch = batch.filter(pa.compute.invert(unfit))
            yield pa.RecordBatch.from_arrays(batch.columns[:width], schema=schema)

    def _reject_lines(self, batch: pa.RecordBatch, columns: Sequence[EngineColumn]) -> None:
        width = len(columns)
        for row in batch.to_pylist():
            if len(self._line_rejects) >= REJECTS_MAX:
                raise InvalidValue(f"more than {REJECTS_MAX:,} rows do not fit")
            line = row["rejected"]
            column, reason = self._line_reason(line, columns)
            number = batch.schema.names[width]
            self._line_rejects.append(
                Reject(int(row[number]), column, reason, line[:REJECTED_TEXT_MAX])
            )

    def _line_reason(self, line: str, columns: Sequence[EngineColumn]) -> tuple[str | None, str]:
        cursor = self._database.cursor()
        valid = cursor.execute("SELECT json_valid($1)", [line]).fetchone()
        if valid is None or not valid[0]:
            return None, "the line is not JSON"
        for column in columns:
            value = cursor.execute(
                f"SELECT found, {_unfit('found', duckdb.sqltype(column.type))} "
                "FROM (SELECT CASE WHEN json_type($1) = 'OBJECT' THEN json_extract($1, $2) END "
                "AS found)",
                [line, _json_path(column.name)],
            ).fetchone()
            if value is not None and value[1]:
                return column.name, f"{str(value[0])[:100]} is not a {column.type}"
        return None, "the line is not a JSON object"

    # --- all ------------------------------------------------------------------------------

    def _source(self) -> str:
        if self._options.kind == "parquet":
            return f"read_parquet({self._literal_path()})"
        return (
            f"read_json({self._literal_path()}, format = 'auto', records = true, "
            f"sample_size = {SAMPLE_ROWS}, compression = {_literal(_json_compression(self._options))}, "
            "maximum_object_size = 67108864)"
        )

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


def _cast(found: str, sql_type: str) -> str:
    if sql_type.upper() in {"VARCHAR", "TEXT", "STRING"}:
        return f"({found} ->> '$')"
    if sql_type.upper() == "JSON":
        return found
    return f"TRY_CAST({found} AS {sql_type})"


def _unfit(found: str, kind: duckdb.sqltypes.DuckDBPyType, depth: int = 0) -> str:
    """A condition: a JSON value, or one inside of it, does not fit a type.

    TRY_CAST makes NULL of a bad value inside of a struct, list or map and keeps the rest; so each
    level is looked at. A key that is missing is NULL, and one that is unknown is left out.
    """
    shape, item = f"json_type({found})", f"e{depth}"
    if kind.id == "struct":
        inner = [
            _unfit(f"json_extract({found}, {_literal(_json_path(name))})", _part(kind, name), depth)
            for name, _ in kind.children
        ]
        return f"({_is_other(shape, 'OBJECT')} OR {' OR '.join(inner)})"
    if kind.id in ("list", "array"):
        part = _unfit(item, _part(kind, "child"), depth + 1)
        items = f"TRY_CAST({found} AS JSON[])"
        bad = f"len(list_filter({items}, lambda {item}: {part})) > 0"
        return f"({_is_other(shape, 'ARRAY')} OR coalesce({bad}, false))"
    if kind.id == "map":
        part = _unfit(item, _part(kind, "value"), depth + 1)
        items = f"map_values(TRY_CAST({found} AS MAP(VARCHAR, JSON)))"
        bad = f"len(list_filter({items}, lambda {item}: {part})) > 0"
        return f"({_is_other(shape, 'OBJECT')} OR coalesce({bad}, false))"
    if kind.id == "varchar":
        return "false"
    return f"coalesce(TRY_CAST({found} AS {kind}) IS NULL AND {shape} <> 'NULL', false)"


def _part(kind: duckdb.sqltypes.DuckDBPyType, name: str) -> duckdb.sqltypes.DuckDBPyType:
    """The type of a field, of a list's elements (``child``), of a map's values (``value``)."""
    found = dict(kind.children)[name]
    assert isinstance(found, duckdb.sqltypes.DuckDBPyType)
    return found


def _is_other(shape: str, wanted: str) -> str:
    """A condition: a JSON type is neither the wanted one nor NULL."""
    return f"coalesce({shape} NOT IN ('{wanted}', 'NULL'), false)"


def _json_compression(options: FileOptions) -> str:
    return "uncompressed" if options.compression == "none" else options.compression


def _json_path(name: str) -> str:
    return '$."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _has_icu(database: duckdb.DuckDBPyConnection) -> bool:
    from lakehold.engines.duckdb.engine import extension_path

    try:
        database.execute(f"LOAD {_literal(str(extension_path('icu')))}")
    except Exception:
        return False
    return True
