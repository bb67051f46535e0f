"""Partition transforms and sort orders: as Iceberg JSON, and from SQL text.

Source: Iceberg spec, "Partition Transforms" and "Sort Orders".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

_TEMPORAL = frozenset({"date", "timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"})
_TIMES = frozenset({"timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"})
_BUCKETED = frozenset(
    {"int", "long", "date", "time", "string", "uuid", "binary", *_TIMES}
)
_TRUNCATED = frozenset({"int", "long", "string", "binary"})
_NAMES = {
    "years": "year",
    "months": "month",
    "days": "day",
    "hours": "hour",
    "date": "day",
    "date_hour": "hour",
}
_WIDTH = re.compile(r"(bucket|truncate)\[(\d+)\]\Z")
_CALL = re.compile(r"\s*([A-Za-z_]+)\s*\((.*)\)\s*\Z", re.DOTALL)
_ORDER = re.compile(
    r"(?P<term>.*?)(?:\s+(?P<direction>ASC|DESC))?(?:\s+NULLS\s+(?P<nulls>FIRST|LAST))?\s*\Z",
    re.IGNORECASE | re.DOTALL,
)


def partition_spec(texts: Sequence[str], schema: Json) -> Json:
    """A partition spec from SQL: ``day(ts)``, ``bucket(16, id)``, ``truncate(4, name)``, ``x``.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    fields = []
    for text in texts:
        transform, column = _term(text, schema)
        name = column["name"] if transform == "identity" else f"{column['name']}_{_suffix(transform)}"
        fields.append({"source-id": column["id"], "transform": transform, "name": name})
    return {"spec-id": 0, "fields": fields}


def sort_order(texts: Sequence[str], schema: Json) -> Json:
    """A sort order from SQL: ``id DESC NULLS LAST``, ``day(ts)``.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    fields = []
    for text in texts:
        found = _ORDER.match(text.strip())
        assert found is not None
        transform, column = _term(found["term"], schema)
        direction = (found["direction"] or "asc").lower()
        nulls = (found["nulls"] or ("first" if direction == "asc" else "last")).lower()
        fields.append(
            {
                "source-id": column["id"],
                "transform": transform,
                "direction": direction,
                "null-order": f"nulls-{nulls}",
            }
        )
    return {"order-id": 1 if fields else 0, "fields": fields}


def check_transform(transform: str, type_json: Any, shown: str) -> None:
    """Refuse a transform that is not known, or not made for a type.

    Raises:
        InvalidDefinition
    """
    width = _WIDTH.match(transform)
    if width:
        if int(width[2]) < 1:
            raise InvalidDefinition(f"{transform}: the width is at least 1")
        allowed = _BUCKETED if width[1] == "bucket" else _TRUNCATED
        base = "decimal" if str(type_json).startswith("decimal") else type_json
        if str(type_json).startswith("fixed") and width[1] == "bucket":
            return
        fits = isinstance(base, str) and (base in allowed or base == "decimal")
    elif transform in ("year", "month", "day"):
        fits = isinstance(type_json, str) and type_json in _TEMPORAL
    elif transform == "hour":
        fits = isinstance(type_json, str) and type_json in _TIMES
    elif transform == "identity":
        fits = isinstance(type_json, str) and type_json != "variant"
    elif transform == "void":
        fits = True
    else:
        raise InvalidDefinition(
            f"there is no transform {transform}",
            hint="identity, year, month, day, hour, bucket(n, …) and truncate(n, …) there are",
        )
    if not fits:
        kind = type_json if isinstance(type_json, str) else type_json.get("type")
        raise InvalidDefinition(f"{transform} cannot be used on {shown}, which is {kind}")


def _term(text: str, schema: Json) -> tuple[str, Json]:
    """``bucket(16, id)`` as the transform and the column."""
    call = _CALL.match(text)
    if call is None:
        column = _column(text, schema)
        check_transform("identity", column["type"], column["name"])
        return "identity", column
    name = call[1].lower()
    name = _NAMES.get(name, name)
    arguments = [part.strip() for part in call[2].split(",")]
    if name in ("bucket", "truncate"):
        if len(arguments) != 2:
            raise InvalidDefinition(f"{name} takes a width and a column: {name}(16, x)")
        numbers = [part for part in arguments if part.isdigit()]
        columns = [part for part in arguments if not part.isdigit()]
        if len(numbers) != 1:
            raise InvalidDefinition(f"{name} takes a width and a column: {name}(16, x)")
        transform, column = f"{name}[{int(numbers[0])}]", _column(columns[0], schema)
    else:
        if len(arguments) != 1:
            raise InvalidDefinition(f"{name} takes one column")
        transform, column = name, _column(arguments[0], schema)
    check_transform(transform, column["type"], column["name"])
    return transform, column


def _column(text: str, schema: Json) -> Json:
    name = text.strip()
    if name.startswith('"') and name.endswith('"') and len(name) > 1:
        name = name[1:-1].replace('""', '"')
    for item in schema["fields"]:
        if item["name"].lower() == name.lower():
            found: Json = item
            return found
    raise InvalidDefinition(f"there is no column {name} to partition or sort by")


def _suffix(transform: str) -> str:
    width = _WIDTH.match(transform)
    if width:
        return "bucket" if width[1] == "bucket" else "trunc"
    return transform
