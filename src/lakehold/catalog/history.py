"""Time travel: which snapshot of a table counted at a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lakehold.catalog.relation import Column, Json, columns_of, schema_by_id
from lakehold.errors import InvalidParameter, UndefinedObject


def snapshot_at(
    metadata: Json, *, version: int | str | None = None, timestamp: datetime | None = None
) -> Json:
    """The snapshot of a table at a version or a moment.

    Args:
        version: a snapshot's id, or the name of a branch or tag.
        timestamp: the last snapshot that was current at this moment; without a time zone, UTC.

    Raises:
        InvalidParameter: if not exactly one of both is given.
        UndefinedObject: if there is no such snapshot, naming the oldest that there is.

    Source: Iceberg spec, "Point in Time Reads (Time Travel)": by ``snapshot-log``.
    """
    if (version is None) == (timestamp is None):
        raise InvalidParameter("time travel takes either a version or a timestamp")
    snapshots: dict[int, Json] = {s["snapshot-id"]: s for s in metadata.get("snapshots") or ()}
    if version is not None:
        snapshot_id: Any = version
        if isinstance(version, str):
            reference = (metadata.get("refs") or {}).get(version)
            snapshot_id = reference["snapshot-id"] if reference else None
        if snapshot_id not in snapshots:
            raise UndefinedObject(
                f"the table has no snapshot {version}", hint=_oldest(metadata, snapshots)
            )
        return snapshots[snapshot_id]
    assert timestamp is not None
    moment = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
    moment_ms = int(moment.timestamp() * 1000)
    log = metadata.get("snapshot-log") or ()
    current = [entry["snapshot-id"] for entry in log if entry["timestamp-ms"] <= moment_ms]
    if not current or current[-1] not in snapshots:
        raise UndefinedObject(
            f"the table has no snapshot as of {moment.isoformat()}",
            hint=_oldest(metadata, snapshots),
        )
    return snapshots[current[-1]]


def columns_at(metadata: Json, snapshot: Json) -> tuple[Column, ...]:
    """The columns that the table had when a snapshot was made."""
    schema_id = snapshot.get("schema-id")
    if schema_id is None:
        schema_id = metadata["current-schema-id"]
    return columns_of(schema_by_id(metadata, schema_id), metadata.get("properties") or {})


def _oldest(metadata: Json, snapshots: dict[int, Json]) -> str:
    if not snapshots:
        return "the table has no snapshots yet"
    log = [e for e in metadata.get("snapshot-log") or () if e["snapshot-id"] in snapshots]
    first = log[0] if log else min(snapshots.values(), key=lambda s: int(s["timestamp-ms"]))
    moment = datetime.fromtimestamp(first["timestamp-ms"] / 1000, UTC)
    return f"the oldest is {first['snapshot-id']}, as of {moment.isoformat()}"
