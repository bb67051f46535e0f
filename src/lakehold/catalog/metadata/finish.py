"""What every commit leaves in the metadata: its time, and where the metadata was before."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PREVIOUS_PROPERTY = "write.metadata.previous-versions-max"
PREVIOUS_DEFAULT = 100


def finish_commit(base: Json, new: Json, *, base_location: str, now_ms: int) -> Json:
    """Complete the metadata of a commit.

    ``last-updated-ms`` is that of the snapshot that was added, or now, and never goes back.
    Snapshots that this commit added and replaced again were never seen: they leave the log.

    Args:
        base: the metadata that the commit replaces.
        new: with the updates applied.
        base_location: where ``base`` is; empty for nothing before.
        now_ms: milliseconds since the epoch.
    """
    before = int(base.get("last-updated-ms") or 0)
    moment = int(new.get("last-updated-ms") or 0)
    if moment <= before:
        moment = max(before, now_ms)
    finished = dict(new)
    log = new.get("snapshot-log")
    if log and log != base.get("snapshot-log"):
        finished["snapshot-log"] = seen = _seen(base, new)
        moment = max(moment, seen[-1]["timestamp-ms"]) if seen else moment
    finished["last-updated-ms"] = moment
    if base_location:
        entry = {"timestamp-ms": before or now_ms, "metadata-file": base_location}
        finished["metadata-log"] = [*(base.get("metadata-log") or ()), entry][-_kept(new) :]
    return finished


def _seen(base: Json, new: Json) -> list[Json]:
    """The log without snapshots that were current only within the commit."""
    log: list[Json] = new["snapshot-log"]
    known = len(base.get("snapshot-log") or ())
    if log[:known] != (base.get("snapshot-log") or []):
        return log
    existed = {snapshot["snapshot-id"] for snapshot in base.get("snapshots") or ()}
    current = new.get("current-snapshot-id")
    fresh = [
        entry
        for entry in log[known:]
        if entry["snapshot-id"] == current or entry["snapshot-id"] in existed
    ]
    return [*log[:known], *fresh]


def _kept(metadata: Json) -> int:
    try:
        return max(int((metadata.get("properties") or {})[PREVIOUS_PROPERTY]), 1)
    except (KeyError, ValueError):
        return PREVIOUS_DEFAULT
