"""Schemas of tables: their fields, fresh field ids, and which types may follow which.

Source: Iceberg spec, "Schemas and Data Types", "Schema Evolution".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

FIELD_ID_MAX = 2_147_483_446
"""Iceberg spec, "Reserved Field IDs": those above are metadata columns'."""

DEPTH_MAX = 64
"""Types within types."""

_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)\Z")
_FIXED = re.compile(r"fixed\[\s*[1-9]\d*\s*\]\Z")
_SPATIAL = re.compile(r"(geometry|geography)(\([^()]*\))?\Z")
_PRIMITIVES = frozenset(
    [
        *("boolean", "int", "long", "float", "double", "string", "uuid", "binary"),
        *("date", "time", "timestamp", "timestamptz"),
    ]
)
_PRIMITIVES_V3 = frozenset({"timestamp_ns", "timestamptz_ns", "unknown", "variant"})

_PROMOTIONS = frozenset({("int", "long"), ("float", "double")})
_PROMOTIONS_V3 = frozenset({("date", "timestamp"), ("date", "timestamp_ns")})


@dataclass(frozen=True, slots=True)
class Field:
    """A field anywhere in a schema; the element of a list, key and value of a map count too.

    Attributes:
        name: its full name, such as ``address.city`` or ``tags.element``.
        parents: ids of the fields that it is in, outermost first.
        in_struct: whether all that it is in are structs: it has one value for each row.
    """

    id: int
    name: str
    type: Any
    required: bool
    json: Json
    parents: tuple[int, ...] = ()
    in_struct: bool = True


def fields_of(schema: Json) -> dict[int, Field]:
    """Every field of a schema by its id."""
    return {field.id: field for field in walk(schema)}


def walk(type_json: Any, within: Field | None = None) -> Iterator[Field]:
    """Every field in a type, outer ones first."""
    if not isinstance(type_json, dict):
        return
    prefix = f"{within.name}." if within else ""
    parents = (*within.parents, within.id) if within else ()
    single = within is None or within.in_struct
    for item in type_json.get("fields", ()):
        field = Field(
            item["id"],
            prefix + item["name"],
            item["type"],
            bool(item.get("required")),
            item,
            parents,
            single,
        )
        yield field
        yield from walk(field.type, field)
    for part in ("element", "key", "value"):
        if f"{part}-id" in type_json:
            required = part == "key" or bool(type_json.get(f"{part}-required"))
            number, inner = type_json[f"{part}-id"], type_json[part]
            field = Field(number, prefix + part, inner, required, {}, parents, False)
            yield field
            yield from walk(inner, field)


def highest_id(schema: Json) -> int:
    """The largest field id of a schema; 0 for none."""
    return max((field.id for field in walk(schema)), default=0)


# --- what a schema must be --------------------------------------------------------------------


def check_schema(schema: Json, format_version: int, *, what: str = "table") -> None:
    """Refuse a schema that cannot be.

    Raises:
        InvalidDefinition: for a malformed schema, a name or an id that is there twice, a type
            that is unknown or needs a higher format version.
    """
    if schema.get("type") != "struct" or not isinstance(schema.get("fields"), list):
        raise InvalidDefinition("a schema is a struct with fields")
    if not schema["fields"]:
        raise InvalidDefinition(f"a {what} has at least one column")
    ids: set[int] = set()
    _check_struct(schema, "", format_version, ids, 0)
    for field_id in schema.get("identifier-field-ids") or ():
        if field_id not in ids:
            raise InvalidDefinition(f"there is no field {field_id} to identify rows by")
    if schema.get("identifier-field-ids"):
        _check_identifier(schema)


def _check_struct(type_json: Json, prefix: str, version: int, ids: set[int], depth: int) -> None:
    fields = type_json.get("fields")
    if not isinstance(fields, list):
        raise InvalidDefinition(f"{prefix.rstrip('.')}: a struct has a list of fields")
    seen: dict[str, str] = {}
    for item in fields:
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or not name:
            raise InvalidDefinition("every field of a schema has a name")
        if name.lower() in seen:
            raise InvalidDefinition(
                f'two columns are named "{prefix}{seen[name.lower()]}" and "{prefix}{name}": '
                "names are compared without case"
            )
        seen[name.lower()] = name
        if not isinstance(item.get("required", False), bool):
            raise InvalidDefinition(f'"{prefix}{name}": required is true or false')
        if not isinstance(item.get("doc") or "", str):
            raise InvalidDefinition(f'"{prefix}{name}": doc is a text')
        _check_id(item.get("id"), prefix + name, ids)
        _check_default(item, prefix + name, version)
        _check_type(item.get("type"), prefix + name, version, ids, depth)


def _check_id(number: object, shown: str, ids: set[int]) -> None:
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidDefinition(f'the field "{shown}" has no id')
    if not 0 <= number <= FIELD_ID_MAX:
        raise InvalidDefinition(f'the field "{shown}" has the id {number}, which is reserved')
    if number in ids:
        raise InvalidDefinition(f'the field "{shown}" has the id {number} of another field')
    ids.add(number)


def _check_default(item: Json, shown: str, version: int) -> None:
    for key in ("initial-default", "write-default"):
        if item.get(key) is not None and version < 3:
            raise InvalidDefinition(
                f'the default of "{shown}" needs a table of format version 3',
                hint="format-version = 3",
            )


def _check_type(type_json: Any, shown: str, version: int, ids: set[int], depth: int) -> None:
    if depth > DEPTH_MAX:
        raise InvalidDefinition(f"a type has at most {DEPTH_MAX} levels")
    if isinstance(type_json, str):
        _check_primitive(type_json, shown, version)
        return
    kind = type_json.get("type") if isinstance(type_json, dict) else None
    if kind == "struct":
        _check_struct(type_json, f"{shown}.", version, ids, depth + 1)
    elif kind == "list":
        _check_id(type_json.get("element-id"), f"{shown}.element", ids)
        _check_type(type_json.get("element"), f"{shown}.element", version, ids, depth + 1)
    elif kind == "map":
        for part in ("key", "value"):
            _check_id(type_json.get(f"{part}-id"), f"{shown}.{part}", ids)
            _check_type(type_json.get(part), f"{shown}.{part}", version, ids, depth + 1)
    else:
        raise InvalidDefinition(f'"{shown}": Iceberg has no type {type_json!r}')


def _check_primitive(name: str, shown: str, version: int) -> None:
    if name in _PRIMITIVES or _FIXED.match(name):
        return
    decimal = _DECIMAL.match(name)
    if decimal:
        if 1 <= int(decimal[1]) <= 38 and int(decimal[2]) <= int(decimal[1]):
            return
        raise InvalidDefinition(f'"{shown}": {name} has too many digits; there are 38')
    if name in _PRIMITIVES_V3 or _SPATIAL.match(name):
        if version >= 3:
            return
        raise InvalidDefinition(
            f'"{shown}": the type {name} needs a table of format version 3',
            hint="format-version = 3; not every engine reads such tables yet",
        )
    raise InvalidDefinition(f'"{shown}": Iceberg has no type {name!r}')


def _check_identifier(schema: Json) -> None:
    """Iceberg spec, "Identifier Field IDs"."""
    fields = fields_of(schema)
    for field_id in schema["identifier-field-ids"]:
        field = fields[field_id]
        if not isinstance(field.type, str) or field.type in ("float", "double"):
            raise InvalidDefinition(f'"{field.name}" cannot identify rows: {field.type}')
        chain = [field, *(fields[parent] for parent in field.parents)]
        if not field.in_struct or not all(part.required for part in chain):
            raise InvalidDefinition(f'"{field.name}" cannot identify rows: it may be missing')


def check_new_ids(metadata: Json, schema: Json) -> None:
    """Refuse ids that once were other fields': files that are there have values for them.

    Raises:
        InvalidDefinition
    """
    last = int(metadata.get("last-column-id") or 0)
    known: dict[int, list[Field]] = {}
    for other in metadata.get("schemas") or ():
        for field in walk(other):
            known.setdefault(field.id, []).append(field)
    for field in walk(schema):
        if field.id > last:
            continue
        same = known.get(field.id, ())
        if not any(_parent(other) == _parent(field) for other in same):
            raise InvalidDefinition(
                f'the field "{field.name}" has the id {field.id}, which was another field\'s: '
                "a new field takes a new id"
            )


def _parent(field: Field) -> int | None:
    return field.parents[-1] if field.parents else None


def may_promote(old: Any, new: Any, format_version: int) -> bool:
    """Whether what was written as the old type can be read as the new one.

    Of structs, lists and maps only the kind counts here: their fields are compared by id.
    """
    if isinstance(old, dict) or isinstance(new, dict):
        return isinstance(old, dict) and isinstance(new, dict) and old["type"] == new["type"]
    if old == new or (old, new) in _PROMOTIONS:
        return True
    if format_version >= 3 and (old == "unknown" or (old, new) in _PROMOTIONS_V3):
        return True
    first, second = _DECIMAL.match(old), _DECIMAL.match(new)
    return bool(
        first and second and int(first[2]) == int(second[2]) and int(second[1]) >= int(first[1])
    )


# --- fresh ids ----------------------------------------------------------------------------------


def with_fresh_ids(schema: Json) -> tuple[Json, dict[int, int]]:
    """A schema with ids from 1, given as Iceberg gives them (``TypeUtil.assignFreshIds``).

    The fields of a struct first, then what is in them.

    Returns:
        The schema, and the new id for each old one.
    """
    ids: dict[int, int] = {}
    last = 0

    def fresh(old: object) -> int:
        nonlocal last
        last += 1
        if isinstance(old, int):
            ids.setdefault(old, last)
        return last

    changed = _fresh(schema, fresh)
    if changed.get("identifier-field-ids"):
        changed["identifier-field-ids"] = [ids.get(i, i) for i in changed["identifier-field-ids"]]
    return changed, ids


def _fresh(type_json: Any, fresh: Callable[[object], int]) -> Any:
    if not isinstance(type_json, dict):
        return type_json
    changed = dict(type_json)
    kind = changed.get("type")
    if kind == "struct" and isinstance(changed.get("fields"), list):
        items = [item for item in changed["fields"] if isinstance(item, dict)]
        numbers = [fresh(item.get("id")) for item in items]
        changed["fields"] = [
            {**item, "id": number, "type": _fresh(item.get("type"), fresh)}
            for item, number in zip(items, numbers, strict=True)
        ]
    elif kind == "list":
        changed["element-id"] = fresh(changed.get("element-id"))
        changed["element"] = _fresh(changed.get("element"), fresh)
    elif kind == "map":
        changed["key-id"] = fresh(changed.get("key-id"))
        changed["value-id"] = fresh(changed.get("value-id"))
        changed["key"] = _fresh(changed.get("key"), fresh)
        changed["value"] = _fresh(changed.get("value"), fresh)
    return changed
