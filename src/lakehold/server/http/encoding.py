"""Results as bytes: Arrow IPC, JSON, NDJSON and CSV, batch by batch.

An encoder is fed record batches and gives back pieces ready to be sent. It holds one batch at
a time. A result that fails half-way ends in an ``error`` member in JSON; the other forms have
no room for one and are cut off: they lack the end that their format has.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
import pyarrow as pa
import pyarrow.csv

from lakehold.server.errors import ErrorDetail
from lakehold.values import json_values

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"
NDJSON = "application/x-ndjson"
CSV = "text/csv"

TEXT_ROWS_MAX = 16_384
"""Rows that are made text at once."""

TYPE_KEY = b"lakehold.type"
"""Metadata key of an Arrow field: the SQL type of the column."""

_json = msgspec.json.Encoder(decimal_format="string")


class ColumnDescription(msgspec.Struct, frozen=True):
    """A column of a result; ``type`` is its SQL type."""

    name: str
    type: str


class ResultHead(msgspec.Struct, frozen=True):
    """What is known of a result before its rows."""

    statement_id: str
    kind: str
    columns: list[ColumnDescription]
    schema: Any
    """The ``pyarrow.Schema`` of the rows."""


class ResultTail(msgspec.Struct, frozen=True):
    """What is known of a result after its rows."""

    affected: int | None
    duration_ms: float
    error: ErrorDetail | None = None


class ResultEncoder(Protocol):
    """Encodes one result."""

    def start(self, head: ResultHead) -> bytes: ...

    def batch(self, batch: pa.RecordBatch) -> Iterator[bytes]: ...

    def finish(self, tail: ResultTail) -> bytes | None:
        """The end; ``None`` if the answer must be cut off because of ``tail.error``."""
        ...


def encoder_for(media: str) -> ResultEncoder:
    """A new encoder for one of the media types above."""
    encoders: dict[str, type[Any]] = {
        JSON: JsonEncoder,
        ARROW: ArrowEncoder,
        NDJSON: NdjsonEncoder,
        CSV: CsvEncoder,
    }
    encoder: ResultEncoder = encoders[media]()
    return encoder


class ArrowEncoder:
    """Arrow IPC streaming format (Arrow columnar specification, "IPC Streaming Format")."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer: pa.RecordBatchStreamWriter | None = None

    def start(self, head: ResultHead) -> bytes:
        fields = [
            field.with_metadata({**(field.metadata or {}), TYPE_KEY: column.type.encode()})
            for field, column in zip(head.schema, head.columns, strict=True)
        ]
        schema = pa.schema(fields, metadata=head.schema.metadata)
        self._schema = schema
        self._writer = pa.ipc.new_stream(pa.PythonFile(self._sink, mode="w"), schema)
        return self._sink.take()

    def batch(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        assert self._writer is not None
        self._writer.write_batch(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        yield self._sink.take()

    def finish(self, tail: ResultTail) -> bytes | None:
        if tail.error is not None or self._writer is None:
            return None
        self._writer.close()
        return self._sink.take()


class _Sink:
    """A file that Arrow writes to; it keeps the buffers as they come and joins them once."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[Any] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(piece)
        return len(piece)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing to release."""

    def take(self) -> bytes:
        joined = b"".join(self._pieces)
        self._pieces.clear()
        return joined


class JsonEncoder:
    """One JSON object; rows are lists."""

    def __init__(self) -> None:
        self._first = True
        self._types: list[str] = []

    def start(self, head: ResultHead) -> bytes:
        self._types = [column.type for column in head.columns]
        return b'{"statement_id":%b,"kind":%b,"columns":%b,"rows":[' % (
            _json.encode(head.statement_id),
            _json.encode(head.kind),
            _json.encode(head.columns),
        )

    def batch(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        for part in _parts(batch):
            rows = _json.encode(_rows(part, self._types))[1:-1]
            yield rows if self._first else b"," + rows
            self._first = False

    def finish(self, tail: ResultTail) -> bytes | None:
        end = b'],"affected":%b,"duration_ms":%b' % (
            _json.encode(tail.affected),
            _json.encode(round(tail.duration_ms, 3)),
        )
        if tail.error is not None:
            end += b',"error":' + _json.encode(tail.error)
        return end + b"}"


class NdjsonEncoder:
    """One JSON object a line, keyed by column name; a repeated name gets ``_1``, ``_2`` …"""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._types: list[str] = []

    def start(self, head: ResultHead) -> bytes:
        self._types = [column.type for column in head.columns]
        self._names = distinct_names([column.name for column in head.columns])
        return b""

    def batch(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        names = self._names
        for part in _parts(batch):
            rows = (dict(zip(names, row, strict=True)) for row in _rows(part, self._types))
            yield _json.encode_lines(rows)

    def finish(self, tail: ResultTail) -> bytes | None:
        return None if tail.error is not None else b""


class CsvEncoder:
    """CSV (RFC 4180) with a header; NULL is empty, an empty text is ``""``."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._types: list[str] = []

    def start(self, head: ResultHead) -> bytes:
        self._types = [column.type for column in head.columns]
        self._names = [column.name for column in head.columns]
        if not self._names:
            return b""
        return (
            ",".join('"' + name.replace('"', '""') + '"' for name in self._names).encode() + b"\n"
        )

    def batch(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        options = pa.csv.WriteOptions(include_header=False)
        for part in _parts(batch):
            columns = [
                _csv_column(column, sql_type)
                for column, sql_type in zip(part.columns, self._types, strict=True)
            ]
            sink = io.BytesIO()
            positions = [str(position) for position in range(len(columns))]
            pa.csv.write_csv(pa.RecordBatch.from_arrays(columns, positions), sink, options)
            yield sink.getvalue()

    def finish(self, tail: ResultTail) -> bytes | None:
        return None if tail.error is not None else b""


def _csv_column(column: pa.Array, sql_type: str) -> pa.Array:
    kind = column.type
    if pa.types.is_primitive(kind) and not pa.types.is_temporal(kind):
        return column
    if pa.types.is_string(kind) or pa.types.is_date(kind):
        return column
    values = json_values(column, sql_type)
    return pa.array([_csv_text(value) for value in values], pa.string())


def _csv_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value) if isinstance(value, int | float) else _json.encode(value).decode()


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, batch.num_rows, TEXT_ROWS_MAX):
        yield batch.slice(start, TEXT_ROWS_MAX)


def _rows(batch: pa.RecordBatch, types: list[str]) -> list[tuple[Any, ...]]:
    columns = [
        json_values(column, sql_type) for column, sql_type in zip(batch.columns, types, strict=True)
    ]
    return list(zip(*columns, strict=True))


def distinct_names(names: list[str]) -> list[str]:
    """Give repeated names a number, so that each is there once."""
    seen: set[str] = set()
    result: list[str] = []
    for name in names:
        unique, number = name, 0
        while unique in seen:
            number += 1
            unique = f"{name}_{number}"
        seen.add(unique)
        result.append(unique)
    return result
