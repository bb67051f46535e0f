"""Bound parameters as they cross HTTP, and as Python values.

A plain JSON value is bound as it is. What JSON cannot say is an object of exactly ``type`` and
``value``: ``{"type": "DATE", "value": "2026-01-31"}``. The client writes these forms for
Python values, the server reads them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from lakehold.errors import InvalidParameter

PARAMETERS_MAX = 10_000
_INTEGER_BITS = 128


def read_parameters(
    wire: list[Any] | dict[str, Any] | None,
) -> list[Any] | dict[str, Any] | None:
    """Turn parameters of a JSON body into Python values.

    Raises:
        InvalidParameter: a typed value is not of its type, or there are too many.
    """
    if wire is None:
        return None
    if len(wire) > PARAMETERS_MAX:
        raise InvalidParameter(f"a statement has at most {PARAMETERS_MAX} parameters")
    if isinstance(wire, dict):
        return {name: _read(value, f"${name}") for name, value in wire.items()}
    return [_read(value, f"number {position}") for position, value in enumerate(wire, 1)]


def _read(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"type", "value"} and isinstance(value["type"], str):
            return _read_typed(value["type"], value["value"], name)
        return {key: _read(item, name) for key, item in value.items()}
    if isinstance(value, list):
        return [_read(item, name) for item in value]
    if (
        isinstance(value, int)
        and not isinstance(value, bool)
        and value.bit_length() > _INTEGER_BITS
    ):
        raise InvalidParameter(f"parameter {name}: the integer has more than 128 bits")
    return value


def _read_typed(type_name: str, value: Any, name: str) -> Any:
    reader = _READERS.get(type_name.upper())
    if reader is None:
        raise InvalidParameter(
            f"parameter {name}: there is no parameter type {type_name[:50]!r}",
            hint="There are " + ", ".join(sorted(_READERS)) + ".",
        )
    if value is None:
        return None
    try:
        return reader(value)
    except (
        ValueError,
        TypeError,
        AttributeError,
        InvalidOperation,
        OverflowError,
    ) as error:
        raise InvalidParameter(
            f"parameter {name}: {str(value)[:100]!r} is not a {type_name.upper()}"
        ) from error


def _text(convert: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError
        return convert(value)

    return read


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError
    return number


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    number = int(value)
    if number.bit_length() > _INTEGER_BITS:
        raise OverflowError
    return number


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _interval(value: Any) -> timedelta:
    if isinstance(value, Mapping):
        return timedelta(**{unit: float(amount) for unit, amount in value.items()})
    return timedelta(seconds=_float(value))


def _blob(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError from error


_READERS: dict[str, Callable[[Any], Any]] = {
    "BIGINT": _integer,
    "BLOB": _text(_blob),
    "DATE": _text(date.fromisoformat),
    "DECIMAL": _decimal,
    "DOUBLE": _float,
    "HUGEINT": _integer,
    "INTEGER": _integer,
    "INTERVAL": _interval,
    "TIME": _text(time.fromisoformat),
    "TIMESTAMP": _text(datetime.fromisoformat),
    "TIMESTAMPTZ": _text(datetime.fromisoformat),
    "UUID": _text(UUID),
    "VARCHAR": _text(str),
}
