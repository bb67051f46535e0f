"""Records as Arrow, for the governed table ``lakehold.ledger``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from lakehold.audit import store
from lakehold.audit.record import Record, parse
from lakehold.audit.store import Conditions
from lakehold.state import Database

BATCH_ROWS = 1_000
"""Records in a batch."""

_TEXTS = pa.list_(pa.string())
_MOMENT = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("statement_id", pa.string()),
        ("started_at", _MOMENT),
        ("principal", pa.string()),
        ("roles", _TEXTS),
        ("purpose", pa.string()),
        ("protocol", pa.string()),
        ("address", pa.string()),
        ("application", pa.string()),
        ("session_id", pa.string()),
        ("kind", pa.string()),
        ("statement", pa.string()),
        ("fingerprint", pa.string()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("status", pa.string()),
        ("sqlstate", pa.string()),
        ("error", pa.string()),
        ("reads", pa.string()),
        ("writes", pa.string()),
        ("engine", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("duration_ms", pa.float64()),
        ("principal_id", pa.string()),
        ("statement_bytes", pa.int64()),
        ("statement_sha256", pa.string()),
        ("recorded_at", _MOMENT),
        ("instance", pa.string()),
        ("hash", pa.string()),
    ]
)
"""``reads`` is a JSON object, table → columns; ``writes`` a JSON array of tables."""


def stream(database: Database, conditions: Conditions, limit: int | None) -> pa.RecordBatchReader:
    """Records, the newest last. Page by page, so that no transaction is held meanwhile.

    What is recorded after the first page was asked for is left out, so that it ends.

    Args:
        limit: so many of the newest.
    """
    return pa.RecordBatchReader.from_batches(SCHEMA, _batches(database, conditions, limit))


def _batches(
    database: Database, conditions: Conditions, limit: int | None
) -> Iterator[pa.RecordBatch]:
    if limit is not None and limit <= 0:
        return
    with database.transaction(read_only=True) as conn:
        last = store.last_number(conn)
        first = 1 if limit is None else store.number_from_the_end(conn, conditions, limit)
    while True:
        with database.transaction(read_only=True) as conn:
            rows = store.page(conn, conditions, first, last, BATCH_ROWS)
        if rows:
            found = [_row(parse(text), digest) for _, text, digest in rows]
            yield pa.RecordBatch.from_pylist(found, schema=SCHEMA)
            first = rows[-1][0] + 1
        if len(rows) < BATCH_ROWS:
            return


def _row(record: Record, digest: bytes) -> dict[str, Any]:
    row = {name: getattr(record, name, None) for name in SCHEMA.names}
    row["started_at"] = datetime.fromisoformat(record.started_at)
    row["recorded_at"] = datetime.fromisoformat(record.recorded_at)
    row["reads"] = msgspec.json.encode(record.reads).decode()
    row["writes"] = msgspec.json.encode(record.writes).decode()
    row["hash"] = digest.hex()
    return row
