"""``python -m bench.metadata``: what a commit costs the metadata, as JSON and as models.

Without a server: the update engine alone, on a table with 500 snapshots, against PyIceberg's
models doing the same. ``docs/decisions/0001-metadata-as-json.md`` quotes its figures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import msgspec
from pydantic import TypeAdapter
from pyiceberg.table.metadata import TableMetadataUtil
from pyiceberg.table.update import TableUpdate, update_table_metadata

from bench.report import Report, median, ratio
from bench.server import machine
from lakehold.catalog.metadata import apply_updates, finish_commit, new_table_metadata
from lakehold.catalog.types import schema_json

SNAPSHOTS = 500
COLUMNS = 20
ROUNDS = 50
NOW_MS = 1_800_000_000_000
PLACE = "/lake/s/t-1"

Json = dict[str, Any]


def main() -> None:
    """Print the table."""
    metadata = _table()
    written = msgspec.json.encode(metadata)
    updates = _append(metadata)
    adapter = TypeAdapter(tuple[TableUpdate, ...])

    def commit(base: Json) -> Json:
        new = apply_updates(base, updates, now_ms=NOW_MS)
        return finish_commit(base, new, base_location="/m/1.json", now_ms=NOW_MS)

    def models() -> bytes:
        base = TableMetadataUtil.parse_raw(written.decode())
        made = update_table_metadata(base, adapter.validate_python(updates))
        return made.model_dump_json(by_alias=True, exclude_none=True).encode()

    parsed = TableMetadataUtil.parse_raw(written.decode())
    given = adapter.validate_python(updates)
    rows: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
        ("apply an append", lambda: commit(metadata), lambda: update_table_metadata(parsed, given)),
        (
            "read, apply, write",
            lambda: msgspec.json.encode(commit(msgspec.json.decode(written))),
            models,
        ),
    ]
    report = Report(
        f"A commit on a table with {SNAPSHOTS} snapshots ({len(written) / 1024:,.0f} KiB)",
        ("step", "plain JSON", "PyIceberg's models", "ratio"),
    )
    for name, ours, theirs in rows:
        mine, other = median(_times(ours)), median(_times(theirs))
        report.rows.append((name, _show(mine), _show(other), ratio(other, mine)))
    standard = median(_times(lambda: json.dumps(commit(json.loads(written)))))
    report.remarks.append(f"read, apply, write with Python's own json module: {_show(standard)}")
    print(f"{machine()}\n\n{report.text()}")


def _table() -> Json:
    schema, _ = schema_json([(f"c{i}", "BIGINT", False, None) for i in range(COLUMNS)])
    metadata = new_table_metadata(
        table_uuid="11111111-2222-3333-4444-555555555555",
        location=PLACE,
        schema=schema,
        partition_spec=None,
        sort_order=None,
        properties={},
        now_ms=NOW_MS,
    )
    for number in range(SNAPSHOTS):
        new = apply_updates(metadata, _append(metadata), now_ms=NOW_MS)
        place = f"{PLACE}/metadata/{number:05d}.metadata.json"
        metadata = finish_commit(metadata, new, base_location=place, now_ms=NOW_MS)
    return metadata


def _append(metadata: Json) -> list[Json]:
    number = metadata["last-sequence-number"] + 1
    snapshot = {
        "snapshot-id": 10**18 + number,
        "sequence-number": number,
        "timestamp-ms": NOW_MS + number,
        "manifest-list": f"{PLACE}/metadata/snap-{10**18 + number}.avro",
        "schema-id": 0,
        "summary": {
            "operation": "append",
            "added-data-files": "1",
            "added-records": "1",
            "total-records": str(number),
            "total-data-files": str(number),
        },
    }
    if metadata["current-snapshot-id"] is not None:
        snapshot["parent-snapshot-id"] = metadata["current-snapshot-id"]
    reference = {"ref-name": "main", "type": "branch", "snapshot-id": 10**18 + number}
    return [
        {"action": "add-snapshot", "snapshot": snapshot},
        {"action": "set-snapshot-ref", **reference},
    ]


def _times(action: Callable[[], object]) -> list[float]:
    action()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return taken


def _show(seconds: float) -> str:
    return f"{seconds * 1000:,.3f} ms"


if __name__ == "__main__":
    main()
