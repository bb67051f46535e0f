"""View metadata (Iceberg view spec)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lakehold.catalog.metadata.schemas import check_schema
from lakehold.errors import InvalidDefinition, InvalidRequest

Json = dict[str, Any]

VERSIONS_KEPT = 10
"""Versions of a view that are kept (view spec: ``version.history.num-entries``)."""


def new_view_metadata(
    *,
    view_uuid: str,
    location: str,
    schema: Json,
    version: Json,
    properties: Mapping[str, str],
    now_ms: int,
) -> Json:
    """The first metadata of a view.

    Raises:
        InvalidDefinition: if the schema or the version cannot be.
    """
    schema = {**schema, "schema-id": 0}
    check_schema(schema, 3, what="view")
    _check_version(version)
    first = {"timestamp-ms": now_ms, **version, "version-id": 1, "schema-id": 0}
    return {
        "view-uuid": view_uuid,
        "format-version": 1,
        "location": location,
        "current-version-id": 1,
        "versions": [first],
        "version-log": [{"timestamp-ms": first["timestamp-ms"], "version-id": 1}],
        "schemas": [schema],
        "properties": dict(properties),
    }


def apply_view_updates(metadata: Json, updates: Sequence[Json], *, now_ms: int) -> Json:
    """Apply updates (REST: ``ViewUpdate``) to a view.

    Raises:
        InvalidRequest: for an update that is not known.
        InvalidDefinition: for one that cannot be.
    """
    state = dict(metadata)
    added: dict[str, int] = {}
    for update in updates:
        rule = _RULES.get(str(update.get("action")))
        if rule is None:
            raise InvalidRequest(f"there is no view update {update.get('action')}")
        rule(state, update, added, now_ms)
    return state


def _assign_uuid(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    if state.get("view-uuid") not in (None, update["uuid"]):
        raise InvalidDefinition("the UUID of a view cannot be changed")
    state["view-uuid"] = update["uuid"]


def _upgrade(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    if update.get("format-version") != 1:
        raise InvalidDefinition("views have format version 1")


def _add_schema(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    schema = update["schema"]
    check_schema(schema, 3, what="view")
    for known in state["schemas"]:
        if known.get("fields") == schema.get("fields"):
            added["schema"] = known["schema-id"]
            return
    number = max((known["schema-id"] for known in state["schemas"]), default=-1) + 1
    state["schemas"] = [*state["schemas"], {**schema, "schema-id": number}]
    added["schema"] = number


def _set_location(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    state["location"] = update["location"]


def _set_properties(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    state["properties"] = {**(state.get("properties") or {}), **update["updates"]}


def _remove_properties(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    gone = set(update["removals"])
    state["properties"] = {
        key: value for key, value in (state.get("properties") or {}).items() if key not in gone
    }


def _add_version(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    version = dict(update["view-version"])
    _check_version(version)
    if version.get("schema-id") == -1:
        if "schema" not in added:
            raise InvalidDefinition("no schema was added in this commit")
        version["schema-id"] = added["schema"]
    if version["schema-id"] not in {known["schema-id"] for known in state["schemas"]}:
        raise InvalidDefinition(f"the view has no schema {version['schema-id']}")
    taken = {known["version-id"] for known in state["versions"]}
    if version.get("version-id") in taken or "version-id" not in version:
        version["version-id"] = max(taken) + 1
    version.setdefault("timestamp-ms", now_ms)
    state["versions"] = [*state["versions"], version]
    added["version"] = version["version-id"]


def _set_version(state: Json, update: Json, added: dict[str, int], now_ms: int) -> None:
    number = update["view-version-id"]
    if number == -1:
        if "version" not in added:
            raise InvalidDefinition("no version was added in this commit")
        number = added["version"]
    if number not in {known["version-id"] for known in state["versions"]}:
        raise InvalidDefinition(f"the view has no version {number}")
    state["current-version-id"] = number
    entry = {"timestamp-ms": now_ms, "version-id": number}
    state["version-log"] = [*(state.get("version-log") or ()), entry]
    kept = state["versions"][-VERSIONS_KEPT:]
    if not any(version["version-id"] == number for version in kept):
        kept = [v for v in state["versions"] if v["version-id"] == number] + kept[1:]
    state["versions"] = kept


def _check_version(version: Json) -> None:
    dialects = [
        str(item.get("dialect", "")).lower() for item in version.get("representations") or ()
    ]
    if not dialects:
        raise InvalidDefinition("a view has at least one representation")
    if len(set(dialects)) != len(dialects):
        raise InvalidDefinition("a view has one representation for a dialect")


_RULES: dict[str, Callable[[Json, Json, dict[str, int], int], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "add-schema": _add_schema,
    "set-location": _set_location,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
    "add-view-version": _add_version,
    "set-current-view-version": _set_version,
}
