"""Transforms: which there are, what they can be used on, and their SQL text.

Source: Iceberg spec, "Partition Transforms".
"""

from __future__ import annotations

import re
from typing import Any

from lakehold.errors import InvalidDefinition
from lakehold.names import show

WIDTH_MAX = 2**31 - 1

_MOMENTS = frozenset({"timestamp", "timestamptz", "timestamp_ns", "timestamptz_ns"})
_DAYS = _MOMENTS | {"date"}
_HASHED = _DAYS | {"int", "long", "decimal", "time", "string", "uuid", "fixed", "binary"}
_CUT = frozenset({"int", "long", "decimal", "string", "binary"})
_NOT_IDENTITY = frozenset({"variant", "geometry", "geography", "unknown"})

_ALLOWED = {
    "year": _DAYS,
    "month": _DAYS,
    "day": _DAYS,
    "hour": _MOMENTS,
    "bucket": _HASHED,
    "truncate": _CUT,
}
_WIDTH = re.compile(r"(bucket|truncate)\[\s*(\d+)\s*\]\Z")
_PRIMITIVE = re.compile(r"[a-z_]+")


def check_transform(transform: str, type_json: Any, shown: str) -> None:
    """Refuse a transform that is not known, or cannot be used on a type.

    Args:
        shown: the name of the column.

    Raises:
        InvalidDefinition: naming the transform and the column.
    """
    name, width = split(transform)
    if width is not None and not 1 <= width <= WIDTH_MAX:
        raise InvalidDefinition(f"{name}: the width is between 1 and {WIDTH_MAX}, not {width}")
    if name == "void":
        return
    found = _PRIMITIVE.match(type_json) if isinstance(type_json, str) else None
    base = found[0] if found else None
    if name == "identity":
        fits = base is not None and base not in _NOT_IDENTITY
    else:
        fits = base in _ALLOWED[name]
    if not fits:
        kind = type_json if isinstance(type_json, str) else f"a {type_json.get('type')}"
        how = "a table by itself" if name == "identity" else f"by {name}"
        raise InvalidDefinition(f'the column "{shown}", {kind}, cannot partition or sort {how}')


def split(transform: str) -> tuple[str, int | None]:
    """``bucket[16]`` as its name and its width.

    Raises:
        InvalidDefinition: if there is no such transform.
    """
    found = _WIDTH.match(transform)
    if found:
        return found[1], int(found[2])
    if transform in ("bucket", "truncate"):
        raise InvalidDefinition(f"the transform {transform} takes a width: {transform}(16, x)")
    if transform not in _ALLOWED and transform not in ("identity", "void"):
        raise InvalidDefinition(
            f"there is no transform {transform}",
            hint="there are year, month, day, hour, bucket(n, x), truncate(n, x), and x itself",
        )
    return transform, None


def transform_text(transform: str, column: str) -> str:
    """A transform of a column as SQL: ``bucket(16, id)``, ``day(ts)``, ``id``.

    Args:
        column: its full name; that of a nested one with dots.
    """
    shown = ".".join(show(part) for part in column.split("."))
    found = _WIDTH.match(transform)
    if found:
        return f"{found[1]}({found[2]}, {shown})"
    return shown if transform == "identity" else f"{transform}({shown})"
