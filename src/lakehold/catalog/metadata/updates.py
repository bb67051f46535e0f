"""Applying updates to table metadata (REST: ``TableUpdate``).

Each rule changes the top level of a copy and replaces the lists that it touches; the lists
themselves are never changed in place, so a commit on a table with many snapshots copies
references only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehold.catalog.metadata import snapshots
from lakehold.catalog.metadata.create import FORMAT_PROPERTY, format_version
from lakehold.catalog.metadata.partitions import bound_spec, same_spec
from lakehold.catalog.metadata.schemas import check_evolution, check_schema, highest_id
from lakehold.catalog.metadata.sorting import bound_order
from lakehold.errors import InvalidDefinition, InvalidRequest

Json = dict[str, Any]


@dataclass
class Work:
    """A commit in the making: the state so far, and what this commit added."""

    state: Json
    now_ms: int
    added: dict[str, int] = field(default_factory=dict)
    is_new: bool = False


def apply_updates(metadata: Json | None, updates: Sequence[Json], *, now_ms: int) -> Json:
    """Apply updates in order; ``None`` begins a table from a staged create.

    Args:
        now_ms: milliseconds since the epoch.

    Raises:
        InvalidRequest: for an update that is not known, or lacks a member.
        InvalidDefinition: for one that cannot be, or would break the table's readers.
    """
    work = Work(_empty() if metadata is None else dict(metadata), now_ms, is_new=metadata is None)
    for update in updates:
        action = str(update.get("action"))
        rule = _RULES.get(action) or snapshots.RULES.get(action)
        if rule is None:
            raise InvalidRequest(f"there is no table update {action}")
        try:
            rule(work, update)
        except KeyError as error:
            raise InvalidRequest(f"the update {action} lacks {error.args[0]}") from None
    if metadata is None and not work.state["schemas"]:
        raise InvalidRequest("a new table needs a schema")
    return work.state


def _empty() -> Json:
    return {
        "format-version": 2,
        "table-uuid": None,
        "location": "",
        "last-sequence-number": 0,
        "last-updated-ms": 0,
        "last-column-id": 0,
        "current-schema-id": -1,
        "schemas": [],
        "default-spec-id": 0,
        "partition-specs": [],
        "last-partition-id": 999,
        "default-sort-order-id": 0,
        "sort-orders": [{"order-id": 0, "fields": []}],
        "properties": {},
        "current-snapshot-id": None,
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }


# --- identity and format ---


def _assign_uuid(work: Work, update: Json) -> None:
    known = work.state.get("table-uuid")
    if known is not None and known != update["uuid"]:
        raise InvalidDefinition("the UUID of a table cannot be changed")
    work.state["table-uuid"] = update["uuid"]


def _upgrade(work: Work, update: Json) -> None:
    present, wanted = work.state["format-version"], format_version(update["format-version"])
    if wanted < present:
        raise InvalidDefinition(
            f"a table of format version {present} cannot go back to {wanted}"
        )
    work.state["format-version"] = wanted
    if wanted >= 2:
        work.state.setdefault("last-sequence-number", 0)
    if wanted >= 3:
        work.state.setdefault("next-row-id", 0)


def _set_location(work: Work, update: Json) -> None:
    work.state["location"] = update["location"]


def _set_properties(work: Work, update: Json) -> None:
    values = dict(update["updates"])
    if FORMAT_PROPERTY in values:
        _upgrade(work, {"format-version": values.pop(FORMAT_PROPERTY)})
    if not all(isinstance(value, str) for value in values.values()):
        raise InvalidRequest("the values of properties are text")
    work.state["properties"] = {**(work.state.get("properties") or {}), **values}


def _remove_properties(work: Work, update: Json) -> None:
    gone = set(update["removals"])
    known = work.state.get("properties") or {}
    work.state["properties"] = {key: value for key, value in known.items() if key not in gone}


# --- schemas ---


def _add_schema(work: Work, update: Json) -> None:
    state, schema = work.state, update["schema"]
    check_schema(schema, state["format-version"])
    last = max(int(update.get("last-column-id") or 0), highest_id(schema))
    if last < state["last-column-id"] and update.get("last-column-id") is not None:
        last = state["last-column-id"]
    for known in state["schemas"]:
        same_fields = known["fields"] == schema["fields"]
        if same_fields and known.get("identifier-field-ids", []) == schema.get(
            "identifier-field-ids", []
        ):
            work.added["schema"] = known["schema-id"]
            break
    else:
        number = max((known["schema-id"] for known in state["schemas"]), default=-1) + 1
        state["schemas"] = [*state["schemas"], {**schema, "schema-id": number}]
        work.added["schema"] = number
    state["last-column-id"] = max(state["last-column-id"], last)


def _set_current_schema(work: Work, update: Json) -> None:
    state = work.state
    number = _last(work, update["schema-id"], "schema")
    schema = _by(state["schemas"], "schema-id", number, "schema")
    if not work.is_new:
        check_evolution(state, schema, _used_fields(state))
    state["current-schema-id"] = number
    if state["format-version"] == 1:
        state["schema"] = schema


def _remove_schemas(work: Work, update: Json) -> None:
    gone = set(update["schema-ids"])
    if work.state["current-schema-id"] in gone:
        raise InvalidDefinition("the current schema cannot be removed")
    needed = {item.get("schema-id") for item in work.state.get("snapshots") or ()}
    if gone & needed:
        raise InvalidDefinition("a schema that a snapshot was made with cannot be removed")
    work.state["schemas"] = [s for s in work.state["schemas"] if s["schema-id"] not in gone]


def _used_fields(state: Json) -> dict[int, str]:
    """Field id → what uses it, so that dropping the column would break readers."""
    used: dict[int, str] = {}
    for spec in state["partition-specs"]:
        former = "" if spec["spec-id"] == state["default-spec-id"] else "former "
        for item in spec["fields"]:
            if item["transform"] != "void":
                used[item["source-id"]] = f"the {former}partitioning"
    for order in state["sort-orders"]:
        if order["order-id"] == state["default-sort-order-id"]:
            for item in order["fields"]:
                used.setdefault(item["source-id"], "the sort order")
    return used


# --- partition specs and sort orders ---


def _add_spec(work: Work, update: Json) -> None:
    state = work.state
    known = state["partition-specs"]
    number = max((spec["spec-id"] for spec in known), default=-1) + 1
    spec = bound_spec(
        update["spec"],
        _current_schema(work),
        spec_id=number,
        last_id=state.get("last-partition-id") or 999,
        known=known,
    )
    for other in known:
        if same_spec(other, spec):
            work.added["spec"] = other["spec-id"]
            return
    state["partition-specs"] = [*known, spec]
    highest = max((item["field-id"] for item in spec["fields"]), default=999)
    state["last-partition-id"] = max(state.get("last-partition-id") or 999, highest)
    work.added["spec"] = number


def _set_default_spec(work: Work, update: Json) -> None:
    number = _last(work, update["spec-id"], "spec")
    spec = _by(work.state["partition-specs"], "spec-id", number, "partition spec")
    work.state["default-spec-id"] = number
    if work.state["format-version"] == 1:
        work.state["partition-spec"] = spec["fields"]


def _remove_specs(work: Work, update: Json) -> None:
    gone = set(update["spec-ids"])
    if work.state["default-spec-id"] in gone:
        raise InvalidDefinition("the default partition spec cannot be removed")
    work.state["partition-specs"] = [
        spec for spec in work.state["partition-specs"] if spec["spec-id"] not in gone
    ]


def _add_order(work: Work, update: Json) -> None:
    state, known = work.state, work.state["sort-orders"]
    wanted = update["sort-order"]
    number = max((order["order-id"] for order in known), default=0) + 1
    if not wanted.get("fields"):
        number = 0
    order = bound_order(wanted, _current_schema(work), order_id=number)
    for other in known:
        if other["fields"] == order["fields"]:
            work.added["order"] = other["order-id"]
            return
    state["sort-orders"] = [*known, order]
    work.added["order"] = number


def _set_default_order(work: Work, update: Json) -> None:
    number = _last(work, update["sort-order-id"], "order")
    _by(work.state["sort-orders"], "order-id", number, "sort order")
    work.state["default-sort-order-id"] = number


# --- statistics and keys ---


def _set_statistics(work: Work, update: Json) -> None:
    found = update["statistics"]
    _replace(work, "statistics", found, update.get("snapshot-id", found.get("snapshot-id")))


def _remove_statistics(work: Work, update: Json) -> None:
    _replace(work, "statistics", None, update["snapshot-id"])


def _set_partition_statistics(work: Work, update: Json) -> None:
    found = update["partition-statistics"]
    _replace(work, "partition-statistics", found, found["snapshot-id"])


def _remove_partition_statistics(work: Work, update: Json) -> None:
    _replace(work, "partition-statistics", None, update["snapshot-id"])


def _replace(work: Work, name: str, new: Json | None, snapshot_id: object) -> None:
    kept = [
        item for item in work.state.get(name) or () if item.get("snapshot-id") != snapshot_id
    ]
    work.state[name] = kept if new is None else [*kept, new]


def _add_key(work: Work, update: Json) -> None:
    key = update["encryption-key"]
    known = [k for k in work.state.get("encryption-keys") or () if k["key-id"] != key["key-id"]]
    work.state["encryption-keys"] = [*known, key]


def _remove_key(work: Work, update: Json) -> None:
    known = work.state.get("encryption-keys") or ()
    work.state["encryption-keys"] = [k for k in known if k["key-id"] != update["key-id"]]


# --- within ---


def _current_schema(work: Work) -> Json:
    number = work.state["current-schema-id"]
    if number == -1:
        number = work.added.get("schema", -1)
    return _by(work.state["schemas"], "schema-id", number, "schema")


def _last(work: Work, number: int, what: str) -> int:
    """-1 means what this commit added last."""
    if number != -1:
        return number
    if what not in work.added:
        raise InvalidDefinition(f"no {what} was added in this commit")
    return work.added[what]


def _by(items: list[Json], key: str, number: int, what: str) -> Json:
    for item in items:
        if item[key] == number:
            return item
    raise InvalidDefinition(f"the table has no {what} {number}")


_RULES: dict[str, Callable[[Work, Json], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "set-location": _set_location,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
    "add-schema": _add_schema,
    "set-current-schema": _set_current_schema,
    "remove-schemas": _remove_schemas,
    "add-spec": _add_spec,
    "set-default-spec": _set_default_spec,
    "remove-partition-specs": _remove_specs,
    "add-sort-order": _add_order,
    "set-default-sort-order": _set_default_order,
    "set-statistics": _set_statistics,
    "remove-statistics": _remove_statistics,
    "set-partition-statistics": _set_partition_statistics,
    "remove-partition-statistics": _remove_partition_statistics,
    "add-encryption-key": _add_key,
    "remove-encryption-key": _remove_key,
}
