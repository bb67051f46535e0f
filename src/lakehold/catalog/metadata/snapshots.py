"""Updates of snapshots and references (Iceberg spec: "Snapshots", "Snapshot References")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from lakehold.errors import InvalidDefinition

if TYPE_CHECKING:
    from lakehold.catalog.metadata.updates import Work

Json = dict[str, Any]

MAIN = "main"


def _add_snapshot(work: Work, update: Json) -> None:
    state, snapshot = work.state, update["snapshot"]
    number = snapshot["snapshot-id"]
    known = state.get("snapshots") or []
    if any(item["snapshot-id"] == number for item in known):
        raise InvalidDefinition(f"the table has a snapshot {number} already")
    schema_id = snapshot.get("schema-id")
    if schema_id is not None and not any(s["schema-id"] == schema_id for s in state["schemas"]):
        raise InvalidDefinition(f"snapshot {number} is of an unknown schema {schema_id}")
    sequence = int(snapshot.get("sequence-number") or 0)
    last = int(state.get("last-sequence-number") or 0)
    if state["format-version"] >= 2:
        if sequence <= last and snapshot.get("parent-snapshot-id") is not None:
            raise InvalidDefinition(
                f"snapshot {number} has sequence number {sequence}, and the last was {last}"
            )
        state["last-sequence-number"] = max(last, sequence)
    if state["format-version"] >= 3:
        _add_rows(state, snapshot)
    state["snapshots"] = [*known, snapshot]
    state["last-updated-ms"] = max(
        int(state.get("last-updated-ms") or 0), int(snapshot.get("timestamp-ms") or 0)
    )


def _add_rows(state: Json, snapshot: Json) -> None:
    """Row lineage (spec v3): each snapshot takes the row ids that follow the last ones."""
    next_row = int(state.get("next-row-id") or 0)
    first = snapshot.get("first-row-id")
    if first is None:
        raise InvalidDefinition("a snapshot of a v3 table says its first-row-id")
    if int(first) < next_row:
        raise InvalidDefinition(f"first-row-id {first} is behind the table's {next_row}")
    added = snapshot.get("added-rows")
    if added is None:
        raise InvalidDefinition("a snapshot of a v3 table says its added-rows")
    state["next-row-id"] = int(first) + int(added)


def _set_ref(work: Work, update: Json) -> None:
    state, name = work.state, update["ref-name"]
    number = update["snapshot-id"]
    snapshot = next(
        (s for s in state.get("snapshots") or () if s["snapshot-id"] == number), None
    )
    if snapshot is None:
        raise InvalidDefinition(f"{name} cannot point to the unknown snapshot {number}")
    kind = update.get("type", "branch")
    if kind not in ("branch", "tag") or (name == MAIN and kind != "branch"):
        raise InvalidDefinition(f"{name} cannot be a {kind}")
    reference = {
        key: update[key]
        for key in ("max-ref-age-ms", "max-snapshot-age-ms", "min-snapshots-to-keep")
        if update.get(key) is not None
    }
    reference |= {"snapshot-id": number, "type": kind}
    refs = state.get("refs") or {}
    if refs.get(name) == reference:
        return
    state["refs"] = {**refs, name: reference}
    if name == MAIN and state.get("current-snapshot-id") != number:
        state["current-snapshot-id"] = number
        # A snapshot that this commit added is logged with its own time, another with now.
        is_new = int(snapshot.get("timestamp-ms") or 0) >= _logged(state)
        moment = int(snapshot["timestamp-ms"]) if is_new else work.now_ms
        entry = {"timestamp-ms": max(moment, _logged(state)), "snapshot-id": number}
        state["snapshot-log"] = [*(state.get("snapshot-log") or ()), entry]


def _logged(state: Json) -> int:
    log = state.get("snapshot-log")
    return int(log[-1]["timestamp-ms"]) if log else 0


def _remove_ref(work: Work, update: Json) -> None:
    state, name = work.state, update["ref-name"]
    refs = dict(state.get("refs") or {})
    refs.pop(name, None)
    state["refs"] = refs
    if name == MAIN:
        state["current-snapshot-id"] = None


def _remove_snapshots(work: Work, update: Json) -> None:
    state, gone = work.state, set(update["snapshot-ids"])
    if state.get("current-snapshot-id") in gone:
        raise InvalidDefinition("the current snapshot cannot be removed")
    state["refs"] = {
        name: item
        for name, item in (state.get("refs") or {}).items()
        if item["snapshot-id"] not in gone
    }
    state["snapshots"] = [s for s in state.get("snapshots") or () if s["snapshot-id"] not in gone]
    for name in ("statistics", "partition-statistics"):
        if state.get(name):
            state[name] = [item for item in state[name] if item["snapshot-id"] not in gone]
    log = state.get("snapshot-log") or []
    # Entries before a removed snapshot would claim to have been current in its stead.
    last_gone = max((i for i, e in enumerate(log) if e["snapshot-id"] in gone), default=-1)
    state["snapshot-log"] = log[last_gone + 1 :]


RULES: dict[str, Callable[[Work, Json], None]] = {
    "add-snapshot": _add_snapshot,
    "set-snapshot-ref": _set_ref,
    "remove-snapshot-ref": _remove_ref,
    "remove-snapshots": _remove_snapshots,
}
