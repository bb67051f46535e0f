"""Arrow columns as Python values and as JSON values, by column. Pure.

One walk over nested types, two sets of leaves:

- *Python*: what a program wants. ``datetime``, ``Decimal``, ``UUID``, ``timedelta``, ``dict``,
  ``list``; an interval with months is a ``pyarrow.MonthDayNano``, because a ``timedelta``
  cannot say "a month"; a moment outside of Python's years 1 to 9999 is its ISO 8601 text.
- *JSON*: what crosses HTTP. Dates, times and moments in ISO 8601, intervals as ISO 8601
  durations, decimals and 128-bit integers as strings, bytes in base64, NaN and infinities as
  the strings ``NaN``, ``Infinity``, ``-Infinity``; maps with text keys as objects, other maps
  as lists of pairs; JSON documents as the text that they are.

Types as DuckDB 1.5 exports them, with and without ``arrow_lossless_conversion``.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

Values: TypeAlias = list[Any]
Leaf: TypeAlias = Callable[[pa.Array, str], Values]

_NANOSECONDS_PER_SECOND = 1_000_000_000
_INFINITY = 2**63 - 1
_PLAIN_SCALE_MAX = 6
"""Arrow writes decimals of a larger scale with an exponent when they are small."""


def python_values(array: pa.Array, sql_type: str = "") -> Values:
    """Return the column as Python values; ``sql_type`` is its DuckDB type, where known."""
    return _walk(array, sql_type, _python_leaf, keyed_maps=False)


def json_values(array: pa.Array, sql_type: str = "") -> Values:
    """Return the column as values that any JSON encoder writes as described above."""
    return _walk(array, sql_type, _json_leaf, keyed_maps=True)


def text_column(array: pa.Array, sql_type: str = "") -> pa.Array:
    """Return a column of moments, times, durations or decimals as text, NULL kept."""
    return pa.array(json_values(array, sql_type), pa.string())


# --- the walk -----------------------------------------------------------------------------


def _walk(array: pa.Array, sql_type: str, leaf: Leaf, *, keyed_maps: bool) -> Values:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _walk(array.dictionary_decode(), sql_type, leaf, keyed_maps=keyed_maps)
    if isinstance(kind, pa.BaseExtensionType):
        return leaf(array, sql_type)
    if pa.types.is_map(kind):
        return _maps(array, leaf, keyed_maps)
    if pa.types.is_struct(kind):
        return _structs(array, leaf, keyed_maps)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _lists(array, leaf, keyed_maps)
    if pa.types.is_fixed_size_list(kind):
        return _fixed_lists(array, leaf, keyed_maps)
    return leaf(array, sql_type)


def _lists(array: pa.ListArray, leaf: Leaf, keyed_maps: bool) -> Values:
    offsets = array.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    last = offsets[-1] if offsets else 0
    items = _walk(array.values.slice(first, last - first), "", leaf, keyed_maps=keyed_maps)
    present = array.is_valid().to_pylist()
    return [
        items[start - first : end - first] if there else None
        for start, end, there in zip(offsets, offsets[1:], present, strict=False)
    ]


def _fixed_lists(array: pa.FixedSizeListArray, leaf: Leaf, keyed_maps: bool) -> Values:
    size = array.type.list_size
    child = array.values.slice(array.offset * size, len(array) * size)
    items = _walk(child, "", leaf, keyed_maps=keyed_maps)
    present = array.is_valid().to_pylist()
    return [
        items[row * size : (row + 1) * size] if there else None for row, there in enumerate(present)
    ]


def _structs(array: pa.StructArray, leaf: Leaf, keyed_maps: bool) -> Values:
    names = [array.type.field(i).name for i in range(array.type.num_fields)]
    fields = [
        _walk(array.field(i).slice(0, len(array)), "", leaf, keyed_maps=keyed_maps)
        for i in range(array.type.num_fields)
    ]
    present = array.is_valid().to_pylist()
    rows = zip(*fields, strict=True) if fields else ((),) * len(array)
    return [
        dict(zip(names, row, strict=True)) if there else None
        for row, there in zip(rows, present, strict=True)
    ]


def _maps(array: pa.MapArray, leaf: Leaf, keyed_maps: bool) -> Values:
    offsets = array.offsets.to_pylist()
    first = offsets[0] if offsets else 0
    last = offsets[-1] if offsets else 0
    keys = _walk(array.keys.slice(first, last - first), "", leaf, keyed_maps=keyed_maps)
    items = _walk(array.items.slice(first, last - first), "", leaf, keyed_maps=keyed_maps)
    as_object = all(isinstance(key, str) for key in keys) if keyed_maps else _hashable(keys)
    present = array.is_valid().to_pylist()
    result: Values = []
    for start, end, there in zip(offsets, offsets[1:], present, strict=False):
        pairs = zip(
            keys[start - first : end - first], items[start - first : end - first], strict=True
        )
        if not there:
            result.append(None)
        elif as_object:
            result.append(dict(pairs))
        else:
            result.append([list(pair) for pair in pairs])
    return result


def _hashable(keys: Values) -> bool:
    try:
        hash(tuple(keys))
    except TypeError:
        return False
    return True


def _listed(array: pa.Array) -> Values:
    values: Values = array.to_pylist()
    return values


# --- leaves: Python -----------------------------------------------------------------------


def _python_leaf(array: pa.Array, sql_type: str) -> Values:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(array)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _moments(array)
    if kind == pa.month_day_nano_interval():
        return [_interval(value) for value in array.to_pylist()]
    if pa.types.is_time64(kind) and kind.unit == "ns":
        return _listed(array.cast(pa.time64("us"), safe=False))
    if pa.types.is_decimal(kind) and sql_type in {"HUGEINT", "UHUGEINT"}:
        return [None if value is None else int(value) for value in array.to_pylist()]
    if sql_type == "UUID" and pa.types.is_string(kind):
        return [None if value is None else UUID(value) for value in array.to_pylist()]
    return _listed(array)


def _extension(array: pa.ExtensionArray) -> Values:
    """Values of the extension types that DuckDB exports; others as their storage."""
    kind = array.type
    if kind.extension_name == "arrow.opaque" and kind.type_name in {"hugeint", "uhugeint"}:
        signed = kind.type_name == "hugeint"
        return [
            None if value is None else int.from_bytes(value, "little", signed=signed)
            for value in array.storage.to_pylist()
        ]
    if kind.extension_name == "arrow.uuid":
        return [None if v is None else UUID(bytes=v) for v in array.storage.to_pylist()]
    return python_values(array.storage)


def _moments(array: pa.Array) -> Values:
    if pa.types.is_timestamp(array.type) and array.type.unit == "ns":
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    try:
        return _listed(array)
    except (ValueError, OverflowError):
        return _iso_moments(array)


def _interval(value: pa.MonthDayNano | None) -> timedelta | pa.MonthDayNano | None:
    if value is None or value.months:
        return value
    return timedelta(days=value.days, microseconds=value.nanoseconds // 1000)


# --- leaves: JSON -------------------------------------------------------------------------


def _json_leaf(array: pa.Array, sql_type: str) -> Values:
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return [_json_scalar(value) for value in _extension(array)]
    if pa.types.is_floating(kind):
        return _json_floats(array)
    if pa.types.is_decimal(kind):
        return _json_decimals(array)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _iso_moments(array)
    if pa.types.is_time(kind):
        return _listed(_trim_fraction(array.cast(pa.string())))
    if kind == pa.month_day_nano_interval():
        return [None if value is None else iso_duration(value) for value in array.to_pylist()]
    if (
        pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    ):
        return [
            None if value is None else base64.b64encode(value).decode("ascii")
            for value in array.to_pylist()
        ]
    if pa.types.is_integer(kind) and array.null_count == 0:
        return _numbers(array)
    return (
        [_json_scalar(v) for v in array.to_pylist()]
        if pa.types.is_union(kind)
        else array.to_pylist()
    )


def _numbers(array: pa.Array) -> Values:
    """Numbers without NULL; ten times faster than ``to_pylist``."""
    values: Values = array.to_numpy(zero_copy_only=False).tolist()
    return values


def _json_floats(array: pa.Array) -> Values:
    values = _numbers(array) if array.null_count == 0 else _listed(array)
    if pc.all(pc.is_finite(array)).as_py() in {True, None}:
        return values
    return [_json_scalar(value) for value in values]


def _json_scalar(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    return value


def _json_decimals(array: pa.Array) -> Values:
    if array.type.scale <= _PLAIN_SCALE_MAX:
        return _listed(array.cast(pa.string()))
    return [None if value is None else plain_decimal(value) for value in array.to_pylist()]


def plain_decimal(value: Decimal) -> str:
    """Write a decimal without an exponent: ``0.00000001``, not ``1E-8``."""
    return format(value, "f")


def _iso_moments(array: pa.Array) -> Values:
    kind = array.type
    if pa.types.is_date(kind):
        return _listed(array.cast(pa.string()))
    naive = array if kind.tz is None else array.cast(pa.timestamp(kind.unit, "UTC"))
    try:
        whole = naive.cast(pa.timestamp("s", naive.type.tz))  # refused where it would lose
        texts = pc.strftime(whole, format="%Y-%m-%dT%H:%M:%S")
    except pa.ArrowInvalid:
        texts = _trim_fraction(pc.strftime(naive, format="%Y-%m-%dT%H:%M:%S"))
    if kind.tz is not None:
        texts = pc.binary_join_element_wise(texts, "Z", "")
    return _name_infinities(texts.to_pylist(), naive)


def _name_infinities(texts: Values, moments: pa.Array) -> Values:
    """DuckDB keeps ``infinity`` as the greatest number of microseconds, and its negative."""
    bounds = pc.min_max(moments.cast(pa.int64()))
    if bounds["max"].as_py() != _INFINITY and bounds["min"].as_py() != -_INFINITY:
        return texts
    named = {_INFINITY: "infinity", -_INFINITY: "-infinity"}
    numbers = moments.cast(pa.int64()).to_pylist()
    return [named.get(n, text) for n, text in zip(numbers, texts, strict=True)]


def _trim_fraction(texts: pa.Array) -> pa.Array:
    """Drop trailing zeros of the fraction of a second."""
    texts = pc.replace_substring_regex(texts, pattern=r"\.0+$", replacement="")
    return pc.replace_substring_regex(texts, pattern=r"(\.\d*[1-9])0+$", replacement=r"\1")


def iso_duration(value: pa.MonthDayNano) -> str:
    """Write an interval as an ISO 8601 duration, such as ``P1M2DT3.5S``."""
    seconds, rest = divmod(abs(value.nanoseconds), _NANOSECONDS_PER_SECOND)
    sign = "-" if value.nanoseconds < 0 else ""
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    hours, seconds = divmod(seconds, 3600)
    minutes, seconds = divmod(seconds, 60)
    date = f"{value.months}M" if value.months else ""
    date += f"{value.days}D" if value.days else ""
    time = f"{sign}{hours}H" if hours else ""
    time += f"{sign}{minutes}M" if minutes else ""
    time += f"{sign}{seconds}{fraction}S" if seconds or rest else ""
    if not date and not time:
        return "PT0S"
    return f"P{date}" + (f"T{time}" if time else "")
