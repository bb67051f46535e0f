"""Conditions, in SQL, that a JSON value fits a type with nothing lost.

``TRY_CAST`` makes NULL of a bad value inside of a struct, list or map and keeps the rest, rounds
fractions to integers, and leaves out keys that a struct does not have; so each level is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

_INTEGERS = frozenset(
    f"{sign}{width}" for sign in ("", "u") for width in ("tinyint", "smallint", "integer", "bigint")
) | {"hugeint", "uhugeint"}


def cast(found: str, sql_type: str) -> str:
    """A JSON value as a type; NULL where it does not fit."""
    if sql_type.upper() in {"VARCHAR", "TEXT", "STRING"}:
        return f"({found} ->> '$')"
    if sql_type.upper() == "JSON":
        return found
    return f"TRY_CAST({found} AS {sql_type})"


def unfit(
    found: str, kind: duckdb.sqltypes.DuckDBPyType, *, exact: bool = True, depth: int = 0
) -> str:
    """A condition: a JSON value, or one inside of it, does not fit a type. Never NULL.

    Args:
        exact: keys that a struct does not have are unfit too. A missing key is NULL.
    """
    shape, item = f"json_type({found})", f"e{depth}"
    if kind.id == "struct":
        inner = [
            unfit(
                f"json_extract({found}, {literal(path(name))})",
                _part(kind, name),
                exact=exact,
                depth=depth,
            )
            for name, _ in kind.children
        ]
        if exact:
            inner.append(unknown_keys(found, [name for name, _ in kind.children]))
        return f"({_is_other(shape, 'OBJECT')} OR {' OR '.join(inner)})"
    if kind.id in ("list", "array"):
        part = unfit(item, _part(kind, "child"), exact=exact, depth=depth + 1)
        length = f" OR {_null_made(found, kind)}" if kind.id == "array" else ""
        items = f"TRY_CAST({found} AS JSON[])"
        return f"({_is_other(shape, 'ARRAY')} OR {_any(items, item, part)}{length})"
    if kind.id == "map":
        part = unfit(item, _part(kind, "value"), exact=exact, depth=depth + 1)
        items = f"map_values(TRY_CAST({found} AS MAP(VARCHAR, JSON)))"
        return f"({_is_other(shape, 'OBJECT')} OR {_any(items, item, part)})"
    if kind.id == "varchar":
        return "false"
    if kind.id in _INTEGERS:
        fraction = f"coalesce(TRY_CAST({found} ->> '$' AS DOUBLE) % 1 <> 0, false)"
        return f"({_null_made(found, kind)} OR {fraction})"
    return _null_made(found, kind)


def unknown_keys(found: str, names: Sequence[str]) -> str:
    """A condition: a JSON object holds keys besides ``names``. Never NULL."""
    known = ", ".join(literal(name) for name in names)
    return _any(f"json_keys({found})", "k", f"k NOT IN ({known})")


def path(name: str) -> str:
    """The JSON path of a key."""
    return '$."' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _any(items: str, name: str, condition: str) -> str:
    return f"coalesce(len(list_filter({items}, lambda {name}: {condition})) > 0, false)"


def _null_made(found: str, kind: duckdb.sqltypes.DuckDBPyType) -> str:
    """A condition: the cast makes NULL of what is not."""
    return f"coalesce(TRY_CAST({found} AS {kind}) IS NULL AND json_type({found}) <> 'NULL', false)"


def _part(kind: duckdb.sqltypes.DuckDBPyType, name: str) -> duckdb.sqltypes.DuckDBPyType:
    """The type of a field, of a list's elements (``child``), of a map's values (``value``)."""
    found = dict(kind.children)[name]
    assert isinstance(found, duckdb.sqltypes.DuckDBPyType)
    return found


def _is_other(shape: str, wanted: str) -> str:
    """A condition: a JSON type is neither the wanted one nor NULL."""
    return f"coalesce({shape} NOT IN ('{wanted}', 'NULL'), false)"
