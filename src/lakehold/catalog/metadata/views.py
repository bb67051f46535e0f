"""View metadata: the first, and updates of it (REST: ``ViewUpdate``).

Source: Iceberg view spec; where it is silent, ``ViewMetadata.Builder`` of Apache Iceberg.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lakehold.catalog.metadata.draft import (
    Json,
    Numbers,
    item_of,
    needed,
    needed_list,
    needed_texts,
)
from lakehold.catalog.metadata.schemas import check_schema
from lakehold.errors import InvalidDefinition, InvalidRequest

HISTORY_PROPERTY = "version.history.num-entries"
HISTORY_DEFAULT = 10
"""Versions of a view that are kept."""

DROP_DIALECT_PROPERTY = "replace.drop-dialect.allowed"

FORMAT_VERSION = 1

_NEWEST_TABLE_FORMAT = 3
"""Views show columns of every type that a table can have."""


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
    check_schema(schema, _NEWEST_TABLE_FORMAT, what="view")
    moment = version.get("timestamp-ms")
    first = {
        **version,
        "version-id": 1,
        "schema-id": 0,
        "timestamp-ms": moment if isinstance(moment, int) else now_ms,
    }
    _check_version(first)
    return {
        "view-uuid": view_uuid,
        "format-version": FORMAT_VERSION,
        "location": location,
        "current-version-id": 1,
        "versions": [first],
        "version-log": [{"timestamp-ms": first["timestamp-ms"], "version-id": 1}],
        "schemas": [{**schema, "schema-id": 0}],
        "properties": dict(properties),
    }


def apply_view_updates(metadata: Json, updates: Sequence[Json], *, now_ms: int) -> Json:
    """The metadata with updates applied, in their order. Nothing that is given is changed.

    Raises:
        InvalidRequest: for an update that is not known, or is malformed.
        InvalidDefinition: for one that cannot be.
    """
    draft = _ViewDraft(dict(metadata), now_ms)
    for update in updates:
        rule = _RULES.get(str(update.get("action"))) if isinstance(update, dict) else None
        if rule is None:
            name = update.get("action") if isinstance(update, dict) else update
            raise InvalidRequest(f"there is no update of a view called {name}")
        rule(draft, update)
    _check_dialects(metadata, draft.state)
    if draft.versions.given or draft.state["current-version-id"] != metadata["current-version-id"]:
        _expire(draft)
    return draft.state


@dataclass(slots=True)
class _ViewDraft:
    """A commit under way; a list in its state is replaced, never changed."""

    state: Json
    now_ms: int
    schemas: Numbers = field(default_factory=Numbers)
    versions: Numbers = field(default_factory=Numbers)
    added: set[int] = field(default_factory=set)


def _assign_uuid(draft: _ViewDraft, update: Json) -> None:
    uuid = needed(update, "uuid", str)
    known = draft.state.get("view-uuid")
    if known is not None and known.lower() != uuid.lower():
        raise InvalidDefinition("the UUID of a view cannot be changed")
    draft.state["view-uuid"] = known or uuid


def _upgrade(draft: _ViewDraft, update: Json) -> None:
    if needed(update, "format-version", int) != FORMAT_VERSION:
        raise InvalidDefinition(f"views have format version {FORMAT_VERSION}")


def _set_location(draft: _ViewDraft, update: Json) -> None:
    location = needed(update, "location", str).rstrip("/")
    if not location:
        raise InvalidDefinition("the location of a view cannot be empty")
    draft.state["location"] = location


def _set_properties(draft: _ViewDraft, update: Json) -> None:
    given = needed_texts(update, "updates")
    if given:
        draft.state["properties"] = {**(draft.state.get("properties") or {}), **given}


def _remove_properties(draft: _ViewDraft, update: Json) -> None:
    gone = set(needed_list(update, "removals", str))
    known = draft.state.get("properties") or {}
    if not gone.isdisjoint(known):
        draft.state["properties"] = {k: v for k, v in known.items() if k not in gone}


def _add_schema(draft: _ViewDraft, update: Json) -> None:
    given = needed(update, "schema", dict)
    check_schema(given, _NEWEST_TABLE_FORMAT, what="view")
    known: list[Json] = draft.state["schemas"]
    wanted = given.get("schema-id")
    for schema in known:
        if schema["fields"] == given["fields"]:
            draft.schemas.add(wanted, schema["schema-id"])
            return
    number = max((schema["schema-id"] for schema in known), default=-1) + 1
    draft.state["schemas"] = [*known, {**given, "schema-id": number}]
    draft.schemas.add(wanted, number)


def _add_version(draft: _ViewDraft, update: Json) -> None:
    version = dict(needed(update, "view-version", dict))
    wanted = needed(version, "version-id", int)
    schema_id = draft.schemas.find(needed(version, "schema-id", int), "schema")
    version["schema-id"] = schema_id
    version.setdefault("timestamp-ms", draft.now_ms)
    needed(version, "timestamp-ms", int)
    _check_version(version)
    if item_of(draft.state["schemas"], "schema-id", schema_id) is None:
        raise InvalidDefinition(f"the view has no schema {schema_id}")
    known: list[Json] = draft.state["versions"]
    for other in known:
        if _behaves(other) == _behaves(version):
            draft.versions.add(wanted, other["version-id"])
            return
    highest = max((other["version-id"] for other in known), default=0)
    version["version-id"] = wanted if wanted > highest else highest + 1
    draft.state["versions"] = [*known, version]
    draft.versions.add(wanted, version["version-id"])
    draft.added.add(version["version-id"])


def _behaves(version: Json) -> Json:
    """What makes a version do what it does."""
    return {k: v for k, v in version.items() if k not in ("version-id", "timestamp-ms")}


def _set_version(draft: _ViewDraft, update: Json) -> None:
    number = draft.versions.find(needed(update, "view-version-id", int), "version")
    version = item_of(draft.state["versions"], "version-id", number)
    if version is None:
        raise InvalidDefinition(f"the view has no version {number}")
    if draft.state.get("current-version-id") == number:
        return
    draft.state["current-version-id"] = number
    moment = version["timestamp-ms"] if number in draft.added else draft.now_ms
    log = draft.state.get("version-log") or []
    if log:
        moment = max(moment, log[-1]["timestamp-ms"])
    draft.state["version-log"] = [*log, {"timestamp-ms": moment, "version-id": number}]


def _check_version(version: Json) -> None:
    """Something to run, once for each dialect.

    Raises:
        InvalidDefinition
    """
    representations = version.get("representations")
    if not isinstance(representations, list) or not representations:
        raise InvalidDefinition("a view has at least one representation")
    dialects: set[str] = set()
    for item in representations:
        if not isinstance(item, dict) or not isinstance(item.get("type"), str):
            raise InvalidDefinition("a representation of a view has a type")
        if item["type"] != "sql":
            continue
        if not isinstance(item.get("sql"), str) or not isinstance(item.get("dialect"), str):
            raise InvalidDefinition("a representation of a view has its sql and a dialect")
        if item["dialect"].lower() in dialects:
            raise InvalidDefinition(f"a view has one text for the dialect {item['dialect']}")
        dialects.add(item["dialect"].lower())


def _check_dialects(base: Json, state: Json) -> None:
    """Refuse to take a view away from engines that could read it.

    Raises:
        InvalidDefinition
    """
    if base["current-version-id"] == state["current-version-id"]:
        return
    allowed = (state.get("properties") or {}).get(DROP_DIALECT_PROPERTY, "false")
    lost = _dialects(base) - _dialects(state)
    if lost and allowed.lower() != "true":
        raise InvalidDefinition(
            f"the view would lose its text for {', '.join(sorted(lost))}",
            hint=f"give it one, or set the property {DROP_DIALECT_PROPERTY} to true",
        )


def _dialects(metadata: Json) -> set[str]:
    version = item_of(metadata["versions"], "version-id", metadata["current-version-id"])
    representations = (version or {}).get("representations") or ()
    return {item["dialect"].lower() for item in representations if item.get("type") == "sql"}


def _expire(draft: _ViewDraft) -> None:
    """Keep the last versions, the current one, and those that this commit added."""
    state = draft.state
    current = state["current-version-id"]
    text = (state.get("properties") or {}).get(HISTORY_PROPERTY, str(HISTORY_DEFAULT))
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise InvalidDefinition(f"{HISTORY_PROPERTY} is a number from 1, not {text}")
    kept = max(int(text), len(draft.added | {current}))
    if len(state["versions"]) <= kept:
        return
    newest = sorted((item["version-id"] for item in state["versions"]), reverse=True)
    others = [number for number in newest if number != current][: kept - 1]
    numbers = {current, *others}
    state["versions"] = [item for item in state["versions"] if item["version-id"] in numbers]
    log: list[Json] = state["version-log"]
    gone = [index for index, entry in enumerate(log) if entry["version-id"] not in numbers]
    state["version-log"] = log[gone[-1] + 1 :] if gone else log


_RULES: dict[str, Callable[[_ViewDraft, Json], None]] = {
    "assign-uuid": _assign_uuid,
    "upgrade-format-version": _upgrade,
    "add-schema": _add_schema,
    "set-location": _set_location,
    "set-properties": _set_properties,
    "remove-properties": _remove_properties,
    "add-view-version": _add_version,
    "set-current-view-version": _set_version,
}
