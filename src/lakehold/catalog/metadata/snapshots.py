"""Updates of a table's data: snapshots, branches and tags, statistics.

Source: Iceberg spec, "Snapshots", "Snapshot References", "Row Lineage"; where the spec is
silent, ``TableMetadata.Builder`` of Apache Iceberg.
"""

from __future__ import annotations

from lakehold.catalog.metadata.draft import (
    Draft,
    Json,
    item_of,
    needed,
    needed_list,
    needed_texts,
    optional,
)
from lakehold.errors import CommitConflict, InvalidDefinition

MAIN = "main"

_REFERENCE_LIMITS = ("min-snapshots-to-keep", "max-snapshot-age-ms", "max-ref-age-ms")


def add_snapshot(draft: Draft, update: Json) -> None:
    """``add-snapshot``: it may be read as soon as a branch or tag points to it."""
    snapshot = dict(needed(update, "snapshot", dict))
    snapshot_id = needed(snapshot, "snapshot-id", int)
    moment = needed(snapshot, "timestamp-ms", int)
    state = draft.state
    if item_of(draft.items("snapshots"), "snapshot-id", snapshot_id) is not None:
        raise InvalidDefinition(f"the table has a snapshot {snapshot_id} already")
    if draft.format_version >= 2 or "manifests" not in snapshot:
        needed(snapshot, "manifest-list", str)
    if snapshot.get("summary") is not None:
        needed_texts(snapshot, "summary")
    optional(snapshot, "parent-snapshot-id", int)
    schema_id = optional(snapshot, "schema-id", int)
    if schema_id is not None:
        schema_id = draft.schemas.given.get(schema_id, schema_id)
        if item_of(draft.items("schemas"), "schema-id", schema_id) is None:
            raise InvalidDefinition(
                f"the snapshot {snapshot_id} has the schema {schema_id}, which is unknown"
            )
        snapshot["schema-id"] = schema_id
    if draft.format_version >= 2:
        _number(state, snapshot)
    if draft.format_version >= 3:
        _rows(state, snapshot)
    state["last-updated-ms"] = moment
    draft.append("snapshots", snapshot)
    draft.added_snapshots.add(snapshot_id)


def _number(state: Json, snapshot: Json) -> None:
    """Every commit is after the last: what is deleted by which depends on it."""
    number = needed(snapshot, "sequence-number", int)
    last = int(state.get("last-sequence-number") or 0)
    if number <= last and snapshot.get("parent-snapshot-id") is not None:
        raise CommitConflict(
            f"the snapshot's sequence number {number} is not after the table's last, {last}"
        )
    state["last-sequence-number"] = max(number, last)


def _rows(state: Json, snapshot: Json) -> None:
    """Row ids are given once."""
    first = needed(snapshot, "first-row-id", int)
    added = needed(snapshot, "added-rows", int)
    following = int(state.get("next-row-id") or 0)
    if first < following:
        raise CommitConflict(
            f"the snapshot's first row id {first} is before the table's next, {following}"
        )
    if added < 0:
        raise InvalidDefinition("a snapshot adds no negative number of rows")
    state["next-row-id"] = first + added


def set_reference(draft: Draft, update: Json) -> None:
    """``set-snapshot-ref``: point a branch or tag to a snapshot."""
    state = draft.state
    name = needed(update, "ref-name", str)
    snapshot_id = needed(update, "snapshot-id", int)
    kind = needed({"type": "branch", **update}, "type", str).lower()
    if kind not in ("branch", "tag"):
        raise InvalidDefinition("a reference to a snapshot is a branch or a tag")
    if name == MAIN and kind != "branch":
        raise InvalidDefinition("main is a branch")
    reference: Json = {"snapshot-id": snapshot_id, "type": kind}
    for limit in _REFERENCE_LIMITS:
        if update.get(limit) is not None:
            reference[limit] = needed(update, limit, int)
            if reference[limit] <= 0:
                raise InvalidDefinition(f"{limit} is at least 1")
    if kind == "tag" and not {"min-snapshots-to-keep", "max-snapshot-age-ms"}.isdisjoint(reference):
        raise InvalidDefinition("a tag keeps one snapshot: it has max-ref-age-ms alone")
    known = state.get("refs") or {}
    if known.get(name) == reference:
        return
    snapshot = item_of(draft.items("snapshots"), "snapshot-id", snapshot_id)
    if snapshot is None:
        raise InvalidDefinition(f"{name} cannot point to the unknown snapshot {snapshot_id}")
    if snapshot_id in draft.added_snapshots:
        state["last-updated-ms"] = snapshot["timestamp-ms"]
    if name == MAIN and state.get("current-snapshot-id") != snapshot_id:
        if snapshot_id not in draft.added_snapshots:
            state["last-updated-ms"] = draft.now_ms
        state["current-snapshot-id"] = snapshot_id
        _log(draft, snapshot_id)
    state["refs"] = {**known, name: reference}


def _log(draft: Draft, snapshot_id: int) -> None:
    """From now on the table is this snapshot. Time in the log never goes back."""
    log = draft.items("snapshot-log")
    moment = draft.state["last-updated-ms"]
    if log:
        moment = max(moment, log[-1]["timestamp-ms"])
    draft.state["last-updated-ms"] = moment
    draft.append("snapshot-log", {"snapshot-id": snapshot_id, "timestamp-ms": moment})


def remove_reference(draft: Draft, update: Json) -> None:
    """``remove-snapshot-ref``; one that is not there is no error."""
    _forget(draft, needed(update, "ref-name", str))


def _forget(draft: Draft, name: str) -> None:
    state = draft.state
    if name == MAIN:
        state["current-snapshot-id"] = None
    known = state.get("refs") or {}
    if name in known:
        state["refs"] = {key: value for key, value in known.items() if key != name}


def remove_snapshots(draft: Draft, update: Json) -> None:
    """``remove-snapshots``, with the branches, tags and statistics of them."""
    state = draft.state
    gone = set(needed_list(update, "snapshot-ids", int))
    known = {snapshot["snapshot-id"] for snapshot in draft.items("snapshots")}
    for missing in sorted(gone - known):
        raise InvalidDefinition(f"the table has no snapshot {missing}")
    if state.get("current-snapshot-id") in gone:
        raise InvalidDefinition(
            "the current snapshot cannot be removed: the table would be empty",
            hint="point main to another snapshot, or remove the branch main",
        )
    state["snapshots"] = [s for s in draft.items("snapshots") if s["snapshot-id"] not in gone]
    for name, reference in (state.get("refs") or {}).items():
        if reference["snapshot-id"] in gone:
            _forget(draft, name)
    for key in ("statistics", "partition-statistics"):
        if any(item["snapshot-id"] in gone for item in draft.items(key)):
            state[key] = [item for item in draft.items(key) if item["snapshot-id"] not in gone]
    state["snapshot-log"] = _without(draft.items("snapshot-log"), gone)


def _without(log: list[Json], gone: set[int]) -> list[Json]:
    """The log after the last snapshot that is gone (spec: all entries before it are removed)."""
    removed = [index for index, entry in enumerate(log) if entry["snapshot-id"] in gone]
    return log[removed[-1] + 1 :] if removed else log


def set_statistics(draft: Draft, update: Json) -> None:
    """``set-statistics``: one file for a snapshot, the last one set."""
    _set_file(draft, "statistics", needed(update, "statistics", dict))


def set_partition_statistics(draft: Draft, update: Json) -> None:
    """``set-partition-statistics``: one file for a snapshot, the last one set."""
    _set_file(draft, "partition-statistics", needed(update, "partition-statistics", dict))


def _set_file(draft: Draft, key: str, file: Json) -> None:
    snapshot_id = needed(file, "snapshot-id", int)
    needed(file, "statistics-path", str)
    if item_of(draft.items("snapshots"), "snapshot-id", snapshot_id) is None:
        raise InvalidDefinition(f"statistics of the unknown snapshot {snapshot_id}")
    kept = [item for item in draft.items(key) if item["snapshot-id"] != snapshot_id]
    draft.state[key] = [*kept, dict(file)]


def remove_statistics(draft: Draft, update: Json) -> None:
    """``remove-statistics``; of a snapshot without any is no error."""
    _remove_file(draft, "statistics", needed(update, "snapshot-id", int))


def remove_partition_statistics(draft: Draft, update: Json) -> None:
    """``remove-partition-statistics``; of a snapshot without any is no error."""
    _remove_file(draft, "partition-statistics", needed(update, "snapshot-id", int))


def _remove_file(draft: Draft, key: str, snapshot_id: int) -> None:
    if item_of(draft.items(key), "snapshot-id", snapshot_id) is not None:
        draft.state[key] = [i for i in draft.items(key) if i["snapshot-id"] != snapshot_id]
