"""What every commit leaves in the metadata: its time, and where the metadata was before."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

PREVIOUS_PROPERTY = "write.metadata.previous-versions-max"
PREVIOUS_DEFAULT = 100


def finish_commit(base: Json, new: Json, *, base_location: str, now_ms: int) -> Json:
    """Complete the metadata of a commit.

    Args:
        base: the metadata that the commit replaces.
        new: with the updates applied.
        base_location: where ``base`` is; empty for nothing before.
        now_ms: milliseconds since the epoch; time never goes back.
    """
    moment = max(now_ms, int(base.get("last-updated-ms", 0)))
    finished = {**new, "last-updated-ms": moment}
    if base_location:
        entry = {
            "timestamp-ms": int(base.get("last-updated-ms", now_ms)),
            "metadata-file": base_location,
        }
        finished["metadata-log"] = [*(base.get("metadata-log") or ()), entry][-_kept(new) :]
    return finished


def _kept(metadata: Json) -> int:
    try:
        return max(int((metadata.get("properties") or {})[PREVIOUS_PROPERTY]), 1)
    except (KeyError, ValueError):
        return PREVIOUS_DEFAULT
