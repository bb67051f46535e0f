"""Type objects and constructors of DB-API 2.0 (PEP 249), and values as parameters."""

from __future__ import annotations

import base64
import datetime
import math
import time as clock
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from lakehold.client.errors import InterfaceError

Date = datetime.date
Time = datetime.time
Timestamp = datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> datetime.date:  # noqa: N802 - the name is PEP 249's
    """A date from seconds since the epoch, in local time."""
    return datetime.date(*clock.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> datetime.time:  # noqa: N802 - the name is PEP 249's
    """A time of day from seconds since the epoch, in local time."""
    return datetime.time(*clock.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> datetime.datetime:  # noqa: N802 - the name is PEP 249's
    """A moment from seconds since the epoch, in local time."""
    return datetime.datetime(*clock.localtime(ticks)[:6])  # noqa: DTZ001 - local, as PEP 249 says


class TypeGroup:
    """Equal to every SQL type name that begins with one of its names."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return other.partition("(")[0] in self._names
        return self is other

    def __hash__(self) -> int:
        return hash(self._names)


STRING = TypeGroup("VARCHAR", "ENUM", "JSON", "UUID", "BIT")
BINARY = TypeGroup("BLOB")
NUMBER = TypeGroup(
    *("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT"),
    *("UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN"),
)
DATETIME = TypeGroup(
    *("DATE", "TIME", "TIME WITH TIME ZONE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"),
    *("TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "INTERVAL"),
)
ROWID = TypeGroup()

_SIGNED_64_MAX = 2**63


def write_parameters(
    parameters: Sequence[Any] | Mapping[str, Any] | None,
) -> list[Any] | dict[str, Any] | None:
    """Parameters as JSON values; what JSON has no form for becomes ``{"type", "value"}``.

    Raises:
        InterfaceError: a value of a type that cannot be bound.
    """
    if parameters is None:
        return None
    if isinstance(parameters, Mapping):
        return {str(name): _write(value) for name, value in parameters.items()}
    if isinstance(parameters, str | bytes):
        raise InterfaceError("parameters are a sequence or a mapping, not one text")
    return [_write(value) for value in parameters]


def _typed(type_name: str, value: Any) -> dict[str, Any]:
    return {"type": type_name, "value": value}


def _write(value: Any) -> Any:
    if value is None or isinstance(value, bool | str):
        return value
    if hasattr(value, "item") and type(value).__module__ == "numpy":
        return _write(value.item())
    if isinstance(value, int):
        return value if abs(value) < _SIGNED_64_MAX else _typed("HUGEINT", str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else _typed("DOUBLE", str(value))
    if isinstance(value, Decimal):
        return _typed("DECIMAL", str(value))
    if isinstance(value, datetime.datetime):
        kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
        return _typed(kind, value.isoformat())
    if isinstance(value, datetime.date):
        return _typed("DATE", value.isoformat())
    if isinstance(value, datetime.time):
        return _typed("TIME", value.isoformat())
    if isinstance(value, datetime.timedelta):
        parts = {
            "days": value.days,
            "seconds": value.seconds,
            "microseconds": value.microseconds,
        }
        return _typed("INTERVAL", parts)
    if isinstance(value, UUID):
        return _typed("UUID", str(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return _typed("BLOB", base64.b64encode(value).decode("ascii"))
    return _write_nested(value)


def _write_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _write(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset):
        return [_write(item) for item in value]
    raise InterfaceError(f"a {type(value).__name__} cannot be bound as a parameter")
