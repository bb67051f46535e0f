"""Types: the text of a DuckDB type ↔ the JSON of an Iceberg type. Pure.

Where Iceberg has no such type, a column is stored as one that holds every value of it, and
its *logical type*, the text of the DuckDB type, is remembered beside: JSON in a string,
TINYINT in an int, STRUCT(j JSON) in struct<j: string>.

Sources: Iceberg spec, "Schemas and Data Types"; DuckDB 1.5, "Data Types".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lakehold.catalog.type_text import Node, parse_type, quote_field
from lakehold.errors import InvalidDefinition

FreshId = Callable[[], int]

_SAME = {
    "BOOLEAN": "boolean",
    "INTEGER": "int",
    "BIGINT": "long",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "TIMESTAMP_NS": "timestamp_ns",
    "VARCHAR": "string",
    "UUID": "uuid",
    "BLOB": "binary",
    "VARIANT": "variant",
}
"""DuckDB's types that Iceberg has too (``timestamp_ns`` and ``variant`` from format v3 on)."""

_LOGICAL = {
    "JSON": "string",
    "TINYINT": "int",
    "SMALLINT": "int",
    "UTINYINT": "int",
    "USMALLINT": "int",
    "UINTEGER": "long",
    "UBIGINT": "decimal(20, 0)",
    "HUGEINT": "decimal(38, 0)",
    "ENUM": "string",
    "INTERVAL": "string",
    "BIT": "string",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIME WITH TIME ZONE": "string",
}
"""DuckDB's types that Iceberg lacks, and what stores them. HUGEINT holds 38 digits, not 39."""

_REFUSED = {
    "UHUGEINT": "use DECIMAL(38,0)",
    "BIGNUM": "use DECIMAL(38,0) or VARCHAR",
    "UNION": "use a STRUCT with a field for each member, or JSON",
    "GEOMETRY": "store well-known binary in a BLOB",
    "TIME_NS": "use TIME, which has microseconds",
    "NULL": "give the column a type",
}

_SHOWN = {
    **{stored: shown for shown, stored in _SAME.items()},
    "timestamptz_ns": "TIMESTAMP WITH TIME ZONE",
    "unknown": "INTEGER",
}

_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)\Z")


def iceberg_type(duckdb_type: str, fresh_id: FreshId) -> tuple[Any, str | None]:
    """The Iceberg type that stores a DuckDB type, and its logical type if that is another.

    Args:
        fresh_id: gives the next field id, for the fields in a struct, list or map.

    Raises:
        InvalidDefinition: if the text is no type, or one that a lake table cannot store.
    """
    stored = _stored(parse_type(duckdb_type), fresh_id)
    return stored.json, stored.text if stored.logical else None


def duckdb_type(type_json: Any) -> str:
    """The DuckDB type of what an Iceberg type stores.

    One that is not known here (of a later format version) is shown as VARCHAR, so that a
    table that has it can still be listed.
    """
    if isinstance(type_json, str):
        found = _SHOWN.get(type_json)
        if found is not None:
            return found
        decimal = _DECIMAL.match(type_json)
        if decimal:
            return f"DECIMAL({decimal[1]},{decimal[2]})"
        if type_json.startswith("fixed["):
            return "BLOB"
        return "GEOMETRY" if type_json.startswith(("geometry", "geography")) else "VARCHAR"
    kind = type_json["type"]
    if kind == "struct":
        fields = (f"{quote_field(f['name'])} {duckdb_type(f['type'])}" for f in type_json["fields"])
        return f"STRUCT({', '.join(fields)})"
    if kind == "list":
        return f"{duckdb_type(type_json['element'])}[]"
    if kind == "map":
        return f"MAP({duckdb_type(type_json['key'])}, {duckdb_type(type_json['value'])})"
    return "VARCHAR"


def may_become(shown: str, wanted: str) -> bool:
    """Whether every value of the type that a column shows is one of another type.

    Iceberg's own rules see only what is stored, where TINYINT and INTEGER, JSON and VARCHAR are
    the same: of those, a change to the narrower one would leave values that cannot be read.

    Raises:
        InvalidDefinition: if one of both is no type.
    """
    return _holds(parse_type(wanted), parse_type(shown))


_INTEGERS = {
    "TINYINT": (-(2**7), 2**7 - 1),
    "SMALLINT": (-(2**15), 2**15 - 1),
    "INTEGER": (-(2**31), 2**31 - 1),
    "BIGINT": (-(2**63), 2**63 - 1),
    "HUGEINT": (-(10**38) + 1, 10**38 - 1),
    "UTINYINT": (0, 2**8 - 1),
    "USMALLINT": (0, 2**16 - 1),
    "UINTEGER": (0, 2**32 - 1),
    "UBIGINT": (0, 2**64 - 1),
}
_WIDER = {
    "FLOAT": {"DOUBLE"},
    "TIMESTAMP_S": {"TIMESTAMP_MS", "TIMESTAMP"},
    "TIMESTAMP_MS": {"TIMESTAMP"},
    **{name: {"VARCHAR"} for name in ("JSON", "ENUM", "INTERVAL", "BIT", "TIME WITH TIME ZONE")},
}
"""Types that hold all values of another, stored in the same way."""


def _holds(wanted: Node, shown: Node) -> bool:
    if wanted == shown:
        return True
    if "LIST" == wanted.name == shown.name and wanted.numbers in ((), shown.numbers):
        return _holds(wanted.parts[0], shown.parts[0])
    if "ENUM" == wanted.name == shown.name:
        return set(shown.values) <= set(wanted.values)
    if "DECIMAL" == wanted.name == shown.name:
        return wanted.numbers[1] == shown.numbers[1] and wanted.numbers[0] >= shown.numbers[0]
    outer, inner = _range(wanted), _range(shown)
    if outer is not None and inner is not None:
        return outer[0] <= inner[0] and inner[1] <= outer[1]
    return wanted.name in _WIDER.get(shown.name, ())


def _range(node: Node) -> tuple[int, int] | None:
    """The smallest and the largest value of a type of whole numbers."""
    if node.name == "DECIMAL" and node.numbers[1] == 0:
        most: int = 10 ** node.numbers[0] - 1
        return -most, most
    return _INTEGERS.get(node.name)


def schema_json(
    columns: Iterable[tuple[str, str, bool, str | None]],
) -> tuple[dict[str, Any], dict[int, str]]:
    """The Iceberg schema of new columns, with field ids from 1, and their logical types.

    Args:
        columns: name, DuckDB type, whether NULL is refused, comment.

    Returns:
        The schema; and for the field ids of columns with a logical type, its text.

    Raises:
        InvalidDefinition: as :func:`iceberg_type`, naming the column.
    """
    given = list(columns)
    last = len(given)
    fields: list[dict[str, Any]] = []
    logical: dict[int, str] = {}

    def fresh_id() -> int:
        nonlocal last
        last += 1
        return last

    for number, (name, type_text, required, comment) in enumerate(given, 1):
        try:
            stored, shown = iceberg_type(type_text, fresh_id)
        except InvalidDefinition as error:
            raise InvalidDefinition(f'column "{name}": {error.message}', hint=error.hint) from None
        field = {"id": number, "name": name, "required": required, "type": stored}
        if comment is not None:
            field["doc"] = comment
        fields.append(field)
        if shown is not None:
            logical[number] = shown
    return {"type": "struct", "schema-id": 0, "fields": fields}, logical


@dataclass(frozen=True, slots=True)
class _Stored:
    """How a type is stored, its own text, and whether the two differ."""

    json: Any
    text: str
    logical: bool = False


def _stored(node: Node, fresh_id: FreshId) -> _Stored:
    name = node.name
    if name == "STRUCT":
        return _struct(node, fresh_id)
    if name == "LIST":
        return _list(node, fresh_id)
    if name == "MAP":
        return _map(node, fresh_id)
    if name == "DECIMAL":
        precision, scale = node.numbers
        return _Stored(f"decimal({precision}, {scale})", f"DECIMAL({precision},{scale})")
    if name == "ENUM":
        values = ", ".join("'" + value.replace("'", "''") + "'" for value in node.values)
        return _Stored(_LOGICAL[name], f"ENUM({values})", logical=True)
    if name in _SAME:
        return _Stored(_SAME[name], name)
    if name in _LOGICAL:
        return _Stored(_LOGICAL[name], name, logical=True)
    raise InvalidDefinition(f"a lake table cannot store the type {name}", hint=_REFUSED.get(name))


def _struct(node: Node, fresh_id: FreshId) -> _Stored:
    seen: set[str] = set()
    for name in node.names:
        if name.lower() in seen:
            raise InvalidDefinition(f'a STRUCT has two fields named "{name}"')
        seen.add(name.lower())
    ids = [fresh_id() for _ in node.parts]
    parts = [_stored(part, fresh_id) for part in node.parts]
    fields = [
        {"id": number, "name": name, "required": False, "type": part.json}
        for number, name, part in zip(ids, node.names, parts, strict=True)
    ]
    texts = (f"{quote_field(n)} {part.text}" for n, part in zip(node.names, parts, strict=True))
    return _Stored(
        {"type": "struct", "fields": fields},
        f"STRUCT({', '.join(texts)})",
        logical=any(part.logical for part in parts),
    )


def _list(node: Node, fresh_id: FreshId) -> _Stored:
    """A list; an array of a length is a list that is shown with it."""
    element_id = fresh_id()
    element = _stored(node.parts[0], fresh_id)
    stored = {
        "type": "list",
        "element-id": element_id,
        "element": element.json,
        "element-required": False,
    }
    if node.numbers:
        return _Stored(stored, f"{element.text}[{node.numbers[0]}]", logical=True)
    return _Stored(stored, f"{element.text}[]", element.logical)


def _map(node: Node, fresh_id: FreshId) -> _Stored:
    key_id, value_id = fresh_id(), fresh_id()
    key, value = (_stored(part, fresh_id) for part in node.parts)
    stored = {
        "type": "map",
        "key-id": key_id,
        "key": key.json,
        "value-id": value_id,
        "value": value.json,
        "value-required": False,
    }
    return _Stored(stored, f"MAP({key.text}, {value.text})", key.logical or value.logical)
