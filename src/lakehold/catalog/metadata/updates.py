"""Applying updates to a table's metadata (REST: ``TableUpdate``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lakehold.catalog.metadata import snapshots, structure
from lakehold.catalog.metadata.create import FORMAT_DEFAULT, FORMAT_PROPERTY, format_version
from lakehold.catalog.metadata.draft import Draft, Json, needed, needed_list, needed_texts
from lakehold.catalog.metadata.partitions import NO_ID
from lakehold.catalog.metadata.rules import check_structure
from lakehold.errors import InvalidDefinition, InvalidRequest


def apply_updates(metadata: Json | None, updates: Sequence[Json], *, now_ms: int) -> Json:
    """The metadata with updates applied, in their order.

    Nothing that is given is changed, and what is not known here stays as it is. A list is
    copied when something in it changes; the rest is shared with ``metadata``.

    Args:
        metadata: ``None`` for a table that these updates make.
        now_ms: milliseconds since the epoch.

    Raises:
        InvalidRequest: for an update that is not known, or is malformed.
        InvalidDefinition: for one that cannot be, or that would break the table's readers.
        CommitConflict: for a snapshot that does not come after the last one.
    """
    draft = Draft(_empty(now_ms) if metadata is None else dict(metadata), metadata, now_ms)
    for update in updates:
        rule = _RULES.get(str(update.get("action"))) if isinstance(update, dict) else None
        if rule is None:
            name = update.get("action") if isinstance(update, dict) else update
            raise InvalidRequest(f"there is no update of a table called {name}")
        rule(draft, update)
    if metadata is None:
        _complete(draft)
    check_structure(draft)
    if draft.format_version == 1:
        _mirror(draft)
    return draft.state


def _empty(now_ms: int) -> Json:
    return {
        "format-version": FORMAT_DEFAULT,
        "table-uuid": None,
        "location": None,
        "last-sequence-number": 0,
        "last-updated-ms": now_ms,
        "last-column-id": 0,
        "current-schema-id": None,
        "schemas": [],
        "default-spec-id": None,
        "partition-specs": [],
        "last-partition-id": NO_ID,
        "default-sort-order-id": None,
        "sort-orders": [],
        "properties": {},
        "current-snapshot-id": None,
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }


def _complete(draft: Draft) -> None:
    """A new table has all that a table has; no partitioning and no order unless it was said."""
    state = draft.state
    for key, what in (("table-uuid", "UUID"), ("location", "location")):
        if not state[key]:
            raise InvalidDefinition(f"a new table needs a {what}")
    if state["current-schema-id"] is None:
        raise InvalidDefinition("a new table needs a current schema")
    if state["default-spec-id"] is None:
        structure.add_spec(draft, {"spec": {"fields": []}})
        structure.set_default_spec(draft, {"spec-id": -1})
    if state["default-sort-order-id"] is None:
        structure.add_order(draft, {"sort-order": {"fields": []}})
        structure.set_default_order(draft, {"sort-order-id": -1})


def _mirror(draft: Draft) -> None:
    """Format v1 has the current schema and partitioning twice, for old readers."""
    state = draft.state
    base = draft.base or {}
    if state["current-schema-id"] != base.get("current-schema-id") or "schema" not in state:
        state["schema"] = draft.schema()
    if state["default-spec-id"] != base.get("default-spec-id"):
        for spec in draft.items("partition-specs"):
            if spec["spec-id"] == state["default-spec-id"]:
                state["partition-spec"] = spec["fields"]


def _assign_uuid(draft: Draft, update: Json) -> None:
    uuid = needed(update, "uuid", str)
    known = draft.state.get("table-uuid")
    if known is not None and known.lower() != uuid.lower():
        raise InvalidDefinition("the UUID of a table cannot be changed")
    draft.state["table-uuid"] = known or uuid


def _upgrade(draft: Draft, update: Json) -> None:
    _set_format(draft, needed(update, "format-version", int))


def _set_format(draft: Draft, wanted: object) -> None:
    state = draft.state
    version, known = format_version(wanted), draft.format_version
    if version < known:
        raise InvalidDefinition(f"format v{known} cannot go back to v{version}")
    if version == known:
        return
    state["format-version"] = version
    state.pop("schema", None)
    state.pop("partition-spec", None)
    state.setdefault("last-sequence-number", 0)
    if version >= 3:
        state.setdefault("next-row-id", 0)


def _set_location(draft: Draft, update: Json) -> None:
    location = needed(update, "location", str).rstrip("/")
    if not location:
        raise InvalidDefinition("the location of a table cannot be empty")
    draft.state["location"] = location


def _set_properties(draft: Draft, update: Json) -> None:
    given = dict(needed_texts(update, "updates"))
    if FORMAT_PROPERTY in given:
        _set_format(draft, given.pop(FORMAT_PROPERTY))
    if given:
        draft.state["properties"] = {**(draft.state.get("properties") or {}), **given}


def _remove_properties(draft: Draft, update: Json) -> None:
    gone = set(needed_list(update, "removals", str))
    known = draft.state.get("properties") or {}
    if not gone.isdisjoint(known):
        draft.state["properties"] = {k: v for k, v in known.items() if k not in gone}


def _add_key(draft: Draft, update: Json) -> None:
    key = dict(needed(update, "encryption-key", dict))
    key_id = needed(key, "key-id", str)
    if draft.format_version < 3:
        raise InvalidDefinition("encryption keys need a table of format version 3")
    if any(known["key-id"] == key_id for known in draft.items("encryption-keys")):
        raise InvalidDefinition(f"the table has an encryption key {key_id} already")
    draft.append("encryption-keys", key)


def _remove_key(draft: Draft, update: Json) -> None:
    key_id = needed(update, "key-id", str)
    known = draft.items("encryption-keys")
    if any(snapshot.get("key-id") == key_id for snapshot in draft.items("snapshots")):
        raise InvalidDefinition(f"the encryption key {key_id} is the one of a snapshot")
    if any(key["key-id"] == key_id for key in known):
        draft.state["encryption-keys"] = [key for key in known if key["key-id"] != key_id]


_RULES: dict[str, Callable[[Draft, Json], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "set-location": _set_location,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
    "add-schema": structure.add_schema,
    "set-current-schema": structure.set_current_schema,
    "remove-schemas": structure.remove_schemas,
    "add-spec": structure.add_spec,
    "set-default-spec": structure.set_default_spec,
    "remove-partition-specs": structure.remove_specs,
    "add-sort-order": structure.add_order,
    "set-default-sort-order": structure.set_default_order,
    "add-snapshot": snapshots.add_snapshot,
    "set-snapshot-ref": snapshots.set_reference,
    "remove-snapshots": snapshots.remove_snapshots,
    "remove-snapshot-ref": snapshots.remove_reference,
    "set-statistics": snapshots.set_statistics,
    "remove-statistics": snapshots.remove_statistics,
    "set-partition-statistics": snapshots.set_partition_statistics,
    "remove-partition-statistics": snapshots.remove_partition_statistics,
    "add-encryption-key": _add_key,
    "remove-encryption-key": _remove_key,
}
