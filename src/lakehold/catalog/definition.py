"""New tables and views, and new structures of old ones, as Iceberg metadata. Pure."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehold.catalog import metadata as engine
from lakehold.catalog.relation import (
    COMMENT_PROPERTY,
    DEFAULT_PROPERTY,
    DIALECT,
    LOGICAL_TYPE_PROPERTY,
    OWNER_PROPERTY,
    RIGHTS_PROPERTY,
    Json,
    Pointer,
    Rights,
    schema_by_id,
)
from lakehold.catalog.types import iceberg_type

_DATA_ACTIONS = frozenset(
    {
        "add-snapshot",
        "set-snapshot-ref",
        "remove-snapshots",
        "remove-snapshot-ref",
        "set-statistics",
        "remove-statistics",
        "set-partition-statistics",
        "remove-partition-statistics",
    }
)

LAST = -1
"""In Iceberg's updates: the schema, spec or order that this commit added last."""


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """What a table is made of, in Iceberg's JSON."""

    schema_json: Json
    partition_spec: Json | None = None
    sort_order: Json | None = None
    properties: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ViewJson:
    """What a view is made of, in Iceberg's JSON."""

    schema_json: Json
    version: Json
    properties: dict[str, str] = field(default_factory=dict)


def may_change_structure(updates: Iterable[Json]) -> bool:
    """Whether updates are more than new data."""
    return any(update.get("action") not in _DATA_ACTIONS for update in updates)


# --- tables ---------------------------------------------------------------------------------


def new_table(pointer: Pointer, wanted: TableDefinition, now_ms: int) -> Json:
    """The first metadata of a table."""
    return engine.new_table_metadata(
        table_uuid=str(pointer.id),
        location=pointer.location,
        schema=wanted.schema_json,
        partition_spec=wanted.partition_spec,
        sort_order=wanted.sort_order,
        properties=wanted.properties,
        now_ms=now_ms,
    )


def replacement(metadata: Json, wanted: TableDefinition, now_ms: int) -> list[Json]:
    """The updates that give a table a new structure and no rows, and keep its history.

    Columns that keep their name and type keep their field id, so that what is said about a column
    (grants, tags) stays with it (Iceberg's own ``replaceTransaction`` does the same).
    """
    present = int(metadata["format-version"])
    version = max(present, int(wanted.properties.get("format-version", present)))
    fresh = engine.new_table_metadata(
        table_uuid=metadata["table-uuid"],
        location=metadata["location"],
        schema=wanted.schema_json,
        partition_spec=wanted.partition_spec,
        sort_order=wanted.sort_order,
        properties={**wanted.properties, "format-version": str(version)},
        now_ms=now_ms,
    )
    schema = schema_by_id(fresh, fresh["current-schema-id"])
    ids = _field_ids(metadata, schema)
    spec = copy.deepcopy(fresh["partition-specs"][0])
    order = copy.deepcopy(fresh["sort-orders"][0])
    for item in (*spec["fields"], *order["fields"]):
        item["source-id"] = ids[item["source-id"]]
    for item in spec["fields"]:
        item.pop("field-id", None)
    schema = _renumbered(schema, ids)
    properties = _with_field_ids(fresh.get("properties") or {}, ids)
    gone = sorted((metadata.get("properties") or {}).keys() - properties.keys())
    updates: list[Json] = []
    if version > present:
        updates.append({"action": "upgrade-format-version", "format-version": version})
    if "main" in (metadata.get("refs") or {}):
        updates.append({"action": "remove-snapshot-ref", "ref-name": "main"})
    updates += [
        {"action": "add-schema", "schema": schema},
        {"action": "set-current-schema", "schema-id": LAST},
        {"action": "add-spec", "spec": spec},
        {"action": "set-default-spec", "spec-id": LAST},
        {"action": "add-sort-order", "sort-order": order},
        {"action": "set-default-sort-order", "sort-order-id": LAST},
    ]
    if gone:
        updates.append({"action": "remove-properties", "removals": gone})
    if properties:
        updates.append({"action": "set-properties", "updates": properties})
    return updates


def _field_ids(metadata: Json, schema: Json) -> dict[int, int]:
    """For each field id of ``schema``: the id it has, or will have, in an existing table."""
    present = _fields(schema_by_id(metadata, metadata["current-schema-id"]))
    known = {(name, kind): field_id for name, kind, field_id in present}
    last = int(metadata["last-column-id"])
    ids: dict[int, int] = {}
    for name, kind, field_id in _fields(schema):
        if (name, kind) not in known:
            last += 1
        ids[field_id] = known.get((name, kind), last)
    return ids


def _fields(
    type_json: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Full name, kind of type and id of every field in a type, nested ones too."""
    if not isinstance(type_json, dict):
        return
    parts = [((*path, i["name"].lower()), i["type"], i["id"]) for i in type_json.get("fields", ())]
    for part in ("element", "key", "value"):
        if f"{part}-id" in type_json:
            parts.append(((*path, f"<{part}>"), type_json[part], type_json[f"{part}-id"]))
    for name, inner, field_id in parts:
        yield name, inner["type"] if isinstance(inner, dict) else inner, field_id
        yield from _fields(inner, name)


def _renumbered(type_json: Any, ids: Mapping[int, int]) -> Any:
    if not isinstance(type_json, dict):
        return type_json
    changed = dict(type_json)
    if "fields" in changed:
        changed["fields"] = [
            {**item, "id": ids[item["id"]], "type": _renumbered(item["type"], ids)}
            for item in changed["fields"]
        ]
    for part in ("element", "key", "value"):
        if f"{part}-id" in changed:
            changed[f"{part}-id"] = ids[changed[f"{part}-id"]]
            changed[part] = _renumbered(changed[part], ids)
    if "identifier-field-ids" in changed:
        changed["identifier-field-ids"] = [ids[i] for i in changed["identifier-field-ids"]]
    return changed


def _with_field_ids(properties: Mapping[str, str], ids: Mapping[int, int]) -> dict[str, str]:
    """Properties that speak of a field id, with the id that the field has now."""
    changed = {}
    for name, value in properties.items():
        for prefix in (LOGICAL_TYPE_PROPERTY, DEFAULT_PROPERTY):
            number = name.removeprefix(prefix)
            if name.startswith(prefix) and number.isdigit() and int(number) in ids:
                name = f"{prefix}{ids[int(number)]}"
                break
        changed[name] = value
    return changed


# --- views ------------------------------------------------------------------------------------


def view_definition(
    sql: str,
    columns: Sequence[tuple[str, str]],
    *,
    rights: Rights,
    owner: str,
    schema: str,
    comment: str | None,
    properties: Mapping[str, str],
) -> ViewJson:
    """A view of our own dialect in Iceberg's form."""
    fields: list[Json] = []
    logical: dict[str, str] = {}
    last = 0

    def fresh_id() -> int:
        nonlocal last
        last += 1
        return last

    for name, type_text in columns:
        field_id = fresh_id()
        type_json, shown = iceberg_type(type_text, fresh_id)
        fields.append({"id": field_id, "name": name, "required": False, "type": type_json})
        if shown is not None:
            logical[f"{LOGICAL_TYPE_PROPERTY}{field_id}"] = shown
    version: Json = {
        "version-id": 1,
        "schema-id": 0,
        "summary": {"engine-name": "lakehold"},
        "default-namespace": schema.split("."),
        "representations": [{"type": "sql", "sql": sql, "dialect": DIALECT}],
    }
    remembered = {RIGHTS_PROPERTY: rights, OWNER_PROPERTY: owner, **logical}
    if comment is not None:
        remembered[COMMENT_PROPERTY] = comment
    schema_json: Json = {"type": "struct", "schema-id": 0, "fields": fields}
    return ViewJson(schema_json, version, {**properties, **remembered})


def new_view(pointer: Pointer, wanted: ViewJson, now_ms: int) -> Json:
    """The first metadata of a view."""
    return engine.new_view_metadata(
        view_uuid=str(pointer.id),
        location=pointer.location,
        schema=wanted.schema_json,
        version={**wanted.version, "timestamp-ms": now_ms},
        properties=wanted.properties,
        now_ms=now_ms,
    )


def view_replacement(metadata: Json, wanted: ViewJson, now_ms: int) -> list[Json]:
    """The updates that give a view a new version, and only the properties given."""
    version_id = max(v["version-id"] for v in metadata["versions"]) + 1
    schema_id = max(s["schema-id"] for s in metadata["schemas"]) + 1
    gone = sorted((metadata.get("properties") or {}).keys() - wanted.properties.keys())
    version = {
        **wanted.version,
        "version-id": version_id,
        "schema-id": LAST,
        "timestamp-ms": now_ms,
    }
    updates: list[Json] = [
        {"action": "add-schema", "schema": {**wanted.schema_json, "schema-id": schema_id}},
        {"action": "add-view-version", "view-version": version},
        {"action": "set-current-view-version", "view-version-id": LAST},
    ]
    if gone:
        updates.append({"action": "remove-properties", "removals": gone})
    if wanted.properties:
        updates.append({"action": "set-properties", "updates": wanted.properties})
    return updates
