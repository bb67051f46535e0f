"""Metadata to commit to, and updates to commit, for the tests of the update engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lakehold.catalog.metadata import apply_updates, new_table_metadata

Json = dict[str, Any]

NOW_MS = 1_800_000_000_000
UUID = "11111111-2222-3333-4444-555555555555"
PLACE = "/lake/s/t-1"


def column(number: int, name: str, kind: Any = "long", **more: Any) -> Json:
    return {"id": number, "name": name, "required": False, "type": kind, **more}


def struct(*fields: Json, **more: Any) -> Json:
    return {"type": "struct", "fields": list(fields), **more}


def list_of(number: int, element: Any) -> Json:
    return {"type": "list", "element-id": number, "element": element, "element-required": False}


TRIPS = struct(
    column(1, "id"),
    column(2, "departed", "timestamp"),
    column(3, "city", "string"),
    column(4, "fare", "decimal(9, 2)"),
    column(5, "home", struct(column(7, "street", "string"))),
    column(6, "tags", list_of(8, "string")),
)


def table(schema: Json = TRIPS, **given: Any) -> Json:
    """A new table."""
    values: Json = {
        "table_uuid": UUID,
        "location": PLACE,
        "schema": schema,
        "partition_spec": None,
        "sort_order": None,
        "properties": {},
        "now_ms": NOW_MS,
        **given,
    }
    return new_table_metadata(**values)


def snapshot(number: int, sequence: int, parent: int | None = None, **more: Any) -> Json:
    made: Json = {
        "snapshot-id": number,
        "sequence-number": sequence,
        "timestamp-ms": NOW_MS + 1000 * sequence,
        "manifest-list": f"{PLACE}/metadata/snap-{number}.avro",
        "summary": {"operation": "append"},
        "schema-id": 0,
        **more,
    }
    if parent is not None:
        made["parent-snapshot-id"] = parent
    return made


def appended(number: int, sequence: int, parent: int | None = None, **more: Any) -> list[Json]:
    """The updates of an append to main."""
    return [
        {"action": "add-snapshot", "snapshot": snapshot(number, sequence, parent, **more)},
        to_main(number),
    ]


def to_main(number: int) -> Json:
    return {
        "action": "set-snapshot-ref",
        "ref-name": "main",
        "snapshot-id": number,
        "type": "branch",
    }


def apply(metadata: Json | None, *updates: Json, now_ms: int = NOW_MS) -> Json:
    return apply_updates(metadata, list(updates), now_ms=now_ms)


def with_rows(count: int = 1, metadata: Json | None = None) -> Json:
    """A table after some appends: snapshots 101, 102, …"""
    state = table() if metadata is None else metadata
    for number in range(1, count + 1):
        parent = 100 + number - 1 if number > 1 else None
        state = apply(state, *appended(100 + number, number, parent))
    return state


def evolved(*fields: Json, **more: Any) -> list[Json]:
    """The updates that give a table these columns."""
    return [
        {"action": "add-schema", "schema": struct(*fields, **more)},
        {"action": "set-current-schema", "schema-id": -1},
    ]


def columns(metadata: Json) -> Iterator[Json]:
    """The columns of the current schema."""
    for schema in metadata["schemas"]:
        if schema["schema-id"] == metadata["current-schema-id"]:
            yield from schema["fields"]
