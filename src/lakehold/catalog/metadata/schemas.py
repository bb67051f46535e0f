"""Schemas of tables: walking them, fresh field ids, and which changes readers survive."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)\Z")
_FIXED = re.compile(r"fixed\[\d+\]\Z")
_PRIMITIVES = frozenset(
    """
    boolean int long float double date time timestamp timestamptz string uuid binary
    timestamp_ns timestamptz_ns unknown variant
    """.split()
)
V3_TYPES = frozenset({"timestamp_ns", "timestamptz_ns", "unknown", "variant"})

PROMOTIONS = frozenset({("int", "long"), ("float", "double")})
"""Iceberg spec, "Schema Evolution": the type changes that old files can be read with."""

PROMOTIONS_V3 = frozenset({("date", "timestamp"), ("date", "timestamp_ns"), ("unknown", "*")})


def walk(type_json: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Every field with its path, nested ones too; list elements and map parts as fields."""
    if not isinstance(type_json, dict):
        return
    for item in type_json.get("fields", ()):
        here = (*path, item["name"])
        yield here, item
        yield from walk(item["type"], here)
    for part in ("element", "key", "value"):
        if f"{part}-id" in type_json:
            here = (*path, part)
            required = part == "key" or bool(type_json.get(f"{part}-required"))
            yield (
                here,
                {
                    "id": type_json[f"{part}-id"],
                    "name": part,
                    "required": required,
                    "type": type_json[part],
                },
            )
            yield from walk(type_json[part], here)


def highest_id(schema: Json) -> int:
    """The largest field id of a schema; 0 for none."""
    return max((item["id"] for _, item in walk(schema)), default=0)


def check_schema(schema: Json, format_version: int) -> None:
    """Refuse a schema that cannot be.

    Raises:
        InvalidDefinition: for a name or id that is there twice, or an unknown type.
    """
    if schema.get("type") != "struct" or not isinstance(schema.get("fields"), list):
        raise InvalidDefinition("a schema is a struct with fields")
    if not schema["fields"]:
        raise InvalidDefinition("a table has at least one column")
    ids: set[int] = set()
    for path, item in walk(schema):
        shown = ".".join(path)
        if not isinstance(item.get("id"), int):
            raise InvalidDefinition(f"the field {shown} has no id")
        if item["id"] in ids:
            raise InvalidDefinition(f"two fields have the id {item['id']}")
        ids.add(item["id"])
        check_type(item.get("type"), shown, format_version)
    _check_names(schema, ())
    for field_id in schema.get("identifier-field-ids", ()):
        if field_id not in ids:
            raise InvalidDefinition(f"there is no field {field_id} to identify rows by")


def _check_names(type_json: Any, path: tuple[str, ...]) -> None:
    if not isinstance(type_json, dict):
        return
    seen: dict[str, str] = {}
    for item in type_json.get("fields", ()):
        key = item["name"].lower()
        if key in seen:
            raise InvalidDefinition(
                f"two columns are named {item['name']!r} and {seen[key]!r}; names are compared "
                "without case"
            )
        seen[key] = item["name"]
        _check_names(item["type"], (*path, item["name"]))
    for part in ("element", "key", "value"):
        _check_names(type_json.get(part), (*path, part))


def check_type(type_json: Any, shown: str, format_version: int) -> None:
    """Refuse a type that Iceberg does not have at this format version."""
    if isinstance(type_json, dict):
        if type_json.get("type") in ("struct", "list", "map"):
            return
    elif isinstance(type_json, str):
        if type_json in V3_TYPES and format_version < 3:
            raise InvalidDefinition(
                f"{shown}: {type_json} needs a table of format version 3",
                hint="WITH (format_version = 3)",
            )
        decimal = _DECIMAL.match(type_json)
        if decimal and int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
            return
        if type_json in _PRIMITIVES or _FIXED.match(type_json):
            return
        if type_json.startswith(("geometry", "geography")) and format_version >= 3:
            return
    raise InvalidDefinition(f"{shown}: Iceberg has no type {type_json!r}")


def with_fresh_ids(schema: Json) -> tuple[Json, dict[int, int]]:
    """A schema with ids from 1, level by level as Iceberg's own libraries give them.

    Returns:
        The schema, and the new id for each old one.
    """
    ids: dict[int, int] = {}
    last = 0

    def fresh(old: int | None) -> int:
        nonlocal last
        last += 1
        if old is not None:
            ids[old] = last
        return last

    return _fresh(schema, fresh, top=True), ids


def _fresh(type_json: Any, fresh: Callable[[int | None], int], *, top: bool = False) -> Any:
    if not isinstance(type_json, dict):
        return type_json
    changed = dict(type_json)
    if "fields" in changed:
        numbers = [fresh(item.get("id")) for item in changed["fields"]]
        changed["fields"] = [
            {**item, "id": number, "type": _fresh(item["type"], fresh)}
            for item, number in zip(changed["fields"], numbers, strict=True)
        ]
    elif changed.get("type") == "list":
        changed["element-id"] = fresh(changed.get("element-id"))
        changed["element"] = _fresh(changed["element"], fresh)
    elif changed.get("type") == "map":
        changed["key-id"] = fresh(changed.get("key-id"))
        changed["value-id"] = fresh(changed.get("value-id"))
        changed["key"] = _fresh(changed["key"], fresh)
        changed["value"] = _fresh(changed["value"], fresh)
    if top:
        changed.pop("schema-id", None)
    return changed


def check_evolution(metadata: Json, schema: Json, used: Mapping[int, str]) -> None:
    """Refuse a new current schema with which old files or old readers would break.

    Args:
        used: field id → what uses it (a partition spec, the sort order).

    Raises:
        InvalidDefinition: naming the column and the reason.
    """
    current = next(
        (s for s in metadata["schemas"] if s["schema-id"] == metadata["current-schema-id"]), None
    )
    if current is None:
        return
    before = {item["id"]: (path, item) for path, item in walk(current)}
    after = {item["id"]: (path, item) for path, item in walk(schema)}
    ever = {item["id"] for known in metadata["schemas"] for _, item in walk(known)}
    empty = metadata.get("current-snapshot-id") in (None, -1)
    version = int(metadata["format-version"])
    for field_id, (path, item) in after.items():
        shown = ".".join(path)
        if field_id in before:
            _check_field(shown, before[field_id][1], item, empty, version)
        elif field_id not in ever and item.get("required") and not empty:
            if item.get("initial-default") is None and len(path) == 1:
                raise InvalidDefinition(
                    f"{shown}: a column that is added to a table with rows cannot be required"
                )
    for field_id, user in used.items():
        if field_id in before and field_id not in after:
            raise InvalidDefinition(
                f"the column {'.'.join(before[field_id][0])} is used by {user}; without it "
                "readers of the table would fail",
                hint="keep the column, or copy the rows into a new table",
            )


def _check_field(shown: str, before: Json, after: Json, empty: bool, version: int) -> None:
    if after.get("required") and not before.get("required") and not empty:
        raise InvalidDefinition(f"{shown}: an optional column cannot become required")
    old, new = before["type"], after["type"]
    if old == new:
        return
    if isinstance(old, dict) and isinstance(new, dict) and old.get("type") == new.get("type"):
        return  # its parts are checked on their own
    if not (isinstance(old, str) and isinstance(new, str) and may_promote(old, new, version)):
        raise InvalidDefinition(
            f"{shown}: {_shown(old)} cannot become {_shown(new)}; files that are there could "
            "not be read",
            hint="int to long, float to double and more digits of a decimal are possible",
        )


def may_promote(old: str, new: str, version: int) -> bool:
    """Whether files of the old type can be read as the new one."""
    if (old, new) in PROMOTIONS:
        return True
    if version >= 3 and ((old, new) in PROMOTIONS_V3 or (old, "*") in PROMOTIONS_V3):
        return True
    first, second = _DECIMAL.match(old), _DECIMAL.match(new)
    return bool(
        first and second and first[2] == second[2] and int(second[1]) >= int(first[1])
    )


def _shown(type_json: Any) -> str:
    return type_json if isinstance(type_json, str) else str(type_json.get("type"))
