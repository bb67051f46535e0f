"""Records as Arrow, for the governed table ``lakehold.ledger``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from lakehold.audit import store
from lakehold.audit.record import Record, parse
from lakehold.audit.store import Conditions
from lakehold.names import show
from lakehold.state import Database

BATCH_ROWS = 1_000
"""Records in a batch."""

_TEXTS = pa.list_(pa.string())
_MOMENT = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("started_at", _MOMENT),
        ("recorded_at", _MOMENT),
        ("statement_id", pa.string()),
        ("principal", pa.string()),
        ("principal_id", pa.string()),
        ("roles", _TEXTS),
        ("purpose", pa.string()),
        ("protocol", pa.string()),
        ("address", pa.string()),
        ("application", pa.string()),
        ("session_id", pa.string()),
        ("kind", pa.string()),
        ("statement", pa.string()),
        ("statement_bytes", pa.int64()),
        ("statement_sha256", pa.string()),
        ("fingerprint", pa.string()),
        ("status", pa.string()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("sqlstate", pa.string()),
        ("error", pa.string()),
        ("tables_read", _TEXTS),
        ("columns_read", _TEXTS),
        ("tables_written", _TEXTS),
        ("engine", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("duration_ms", pa.float64()),
        ("instance", pa.string()),
        ("hash", pa.string()),
    ]
)


def stream(database: Database, conditions: Conditions, limit: int | None) -> pa.RecordBatchReader:
    """Records, the newest first. Page by page, so that no transaction is held meanwhile."""
    return pa.RecordBatchReader.from_batches(SCHEMA, _batches(database, conditions, limit))


def _batches(
    database: Database, conditions: Conditions, limit: int | None
) -> Iterator[pa.RecordBatch]:
    below: int | None = None
    left = limit
    while left is None or left > 0:
        wanted = BATCH_ROWS if left is None else min(BATCH_ROWS, left)
        with database.transaction(read_only=True) as conn:
            rows = store.newest(conn, conditions, below, wanted)
        if rows:
            yield _batch(rows)
            below = rows[-1][0]
            left = None if left is None else left - len(rows)
        if len(rows) < wanted:
            return


def _batch(rows: list[tuple[Any, ...]]) -> pa.RecordBatch:
    found = [_row(parse(text), bytes(digest)) for _, text, digest in rows]
    return pa.RecordBatch.from_pylist(found, schema=SCHEMA)


def _row(record: Record, digest: bytes) -> dict[str, Any]:
    row = {name: getattr(record, name, None) for name in SCHEMA.names}
    row["started_at"] = datetime.fromisoformat(record.started_at)
    row["recorded_at"] = datetime.fromisoformat(record.recorded_at)
    row["tables_read"] = sorted(record.reads)
    row["columns_read"] = [
        f"{table}.{show(column)}"
        for table, columns in sorted(record.reads.items())
        for column in columns
    ]
    row["tables_written"] = record.writes
    row["hash"] = digest.hex()
    return row
