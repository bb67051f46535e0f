"""Types: DuckDB's as users write them, and Iceberg's as tables store them. Pure.

What Iceberg lacks is kept as a *logical type*: stored as an Iceberg type that can hold all
its values, remembered by the catalog, and shown to users as what they declared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from lakehold.errors import InvalidDefinition
from lakehold.names import quote

FreshId = Callable[[], int]

_DIRECT = {
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
}

_LOGICAL = {
    "JSON": "string",
    "TINYINT": "int",
    "SMALLINT": "int",
    "UTINYINT": "int",
    "USMALLINT": "int",
    "UINTEGER": "long",
    "UBIGINT": "decimal(20,0)",
    "HUGEINT": "decimal(38,0)",
    "INTERVAL": "string",
    "BIT": "string",
    "TIME WITH TIME ZONE": "string",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
}
"""Stored as another type and shown as declared. HUGEINT holds 38 digits, not 39."""

_ALIASES = {
    "BOOL": "BOOLEAN",
    "LOGICAL": "BOOLEAN",
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "SIGNED": "INTEGER",
    "INT32": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "INT64": "BIGINT",
    "INT2": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT16": "SMALLINT",
    "INT1": "TINYINT",
    "INT128": "HUGEINT",
    "UINT8": "UTINYINT",
    "UINT16": "USMALLINT",
    "UINT32": "UINTEGER",
    "UINT64": "UBIGINT",
    "FLOAT4": "FLOAT",
    "REAL": "FLOAT",
    "FLOAT8": "DOUBLE",
    "DOUBLE PRECISION": "DOUBLE",
    "NUMERIC": "DECIMAL",
    "DEC": "DECIMAL",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHAR": "VARCHAR",
    "BPCHAR": "VARCHAR",
    "CHARACTER VARYING": "VARCHAR",
    "BYTEA": "BLOB",
    "BINARY": "BLOB",
    "VARBINARY": "BLOB",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP_US": "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "TIMETZ": "TIME WITH TIME ZONE",
    "TIME WITHOUT TIME ZONE": "TIME",
    "BITSTRING": "BIT",
    "GUID": "UUID",
}

_SHOWN = {
    **{iceberg: duck for duck, iceberg in _DIRECT.items()},
    "timestamptz_ns": "TIMESTAMP WITH TIME ZONE",
    "unknown": "INTEGER",
}

_TOKEN = re.compile(r"""\s*("(?:[^"]|"")*"|'(?:[^']|'')*'|[A-Za-z_]\w*|\d+|[(),\[\]])""")
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)\Z")


def iceberg_type(duckdb_type: str, fresh_id: FreshId) -> tuple[Any, str | None]:
    """A DuckDB type as Iceberg's JSON, and as a logical type where Iceberg lacks it.

    Args:
        fresh_id: gives the ids of nested fields.

    Returns:
        The stored type, and the text of the declared type if it is another.

    Raises:
        InvalidDefinition: naming the type that is not supported.
    """
    parser = _TypeParser(duckdb_type, fresh_id)
    stored, shown = parser.read()
    parser.finish()
    return stored, shown if parser.is_logical else None


def duckdb_type(type_json: Any) -> str:
    """An Iceberg type as DuckDB writes it."""
    if isinstance(type_json, str):
        if type_json in _SHOWN:
            return _SHOWN[type_json]
        decimal = _DECIMAL.match(type_json)
        if decimal:
            return f"DECIMAL({decimal[1]},{decimal[2]})"
        if type_json.startswith("fixed["):
            return "BLOB"
        return "VARCHAR"
    kind = type_json["type"]
    if kind == "struct":
        fields = (f"{quote(f['name'])} {duckdb_type(f['type'])}" for f in type_json["fields"])
        return f"STRUCT({', '.join(fields)})"
    if kind == "list":
        return f"{duckdb_type(type_json['element'])}[]"
    return f"MAP({duckdb_type(type_json['key'])}, {duckdb_type(type_json['value'])})"


def schema_json(
    columns: Sequence[tuple[str, str, bool, str | None]],
) -> tuple[dict[str, Any], dict[int, str]]:
    """An Iceberg schema of columns (name, DuckDB type, required, comment).

    Returns:
        The schema with field ids from 1, and the logical types by top-level field id.

    Raises:
        InvalidDefinition: naming the column and the type.
    """
    last = 0

    def fresh_id() -> int:
        nonlocal last
        last += 1
        return last

    numbers = [fresh_id() for _ in columns]
    fields, logical = [], {}
    for number, (name, kind, required, comment) in zip(numbers, columns, strict=True):
        try:
            stored, shown = iceberg_type(kind, fresh_id)
        except InvalidDefinition as error:
            raise InvalidDefinition(f"column {name}: {error.message}", hint=error.hint) from None
        field: dict[str, Any] = {
            "id": number,
            "name": name,
            "required": required,
            "type": stored,
        }
        if comment is not None:
            field["doc"] = comment
        fields.append(field)
        if shown is not None:
            logical[number] = shown
    return {"type": "struct", "schema-id": 0, "fields": fields}, logical


class _TypeParser:
    """Reads DuckDB's notation of types. Every rule returns (stored JSON, shown text)."""

    def __init__(self, text: str, fresh_id: FreshId) -> None:
        self._text = text
        self._fresh_id = fresh_id
        self._tokens: list[str] = []
        self._at = 0
        self.is_logical = False
        place = 0
        while place < len(text.rstrip()):
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._unknown()
            self._tokens.append(found[1])
            place = found.end()

    def read(self) -> tuple[Any, str]:
        """One type with its array marks."""
        stored, shown = self._base()
        while self._take("["):
            if self._peek().isdigit():
                self._at += 1
                self.is_logical = True
                size = f"[{self._tokens[self._at - 1]}]"
            else:
                size = "[]"
            self._expect("]")
            element_id = self._fresh_id()
            stored = {
                "type": "list",
                "element-id": element_id,
                "element": stored,
                "element-required": False,
            }
            shown += size
        return stored, shown

    def finish(self) -> None:
        if self._at < len(self._tokens):
            raise self._unknown()

    def _base(self) -> tuple[Any, str]:
        word = self._word()
        if word in ("STRUCT", "ROW"):
            return self._struct()
        if word == "MAP":
            return self._map()
        if word == "LIST":
            self._expect("(")
            stored, shown = self.read()
            self._expect(")")
            element = {"type": "list", "element-id": self._fresh_id(), "element": stored}
            return {**element, "element-required": False}, f"{shown}[]"
        if word == "ENUM":
            values = self._arguments()
            self.is_logical = True
            return "string", f"ENUM({', '.join(values)})"
        name = _ALIASES.get(word, word)
        if name == "DECIMAL":
            return self._decimal()
        arguments = self._arguments() if self._peek() == "(" else []
        if arguments and name not in ("VARCHAR", "BIT", "BLOB", "TIMESTAMP"):
            raise self._unknown()
        if name in _DIRECT:
            return _DIRECT[name], name
        if name in _LOGICAL:
            self.is_logical = True
            return _LOGICAL[name], name
        raise self._unknown(word)

    def _word(self) -> str:
        if self._at >= len(self._tokens):
            raise self._unknown()
        word = self._tokens[self._at].strip('"').upper()
        self._at += 1
        for rest in (("WITH", "TIME", "ZONE"), ("WITHOUT", "TIME", "ZONE"), ("PRECISION",),
                     ("VARYING",)):  # fmt: skip
            ahead = tuple(t.upper() for t in self._tokens[self._at : self._at + len(rest)])
            if ahead == rest:
                self._at += len(rest)
                return f"{word} {' '.join(rest)}"
        return word

    def _struct(self) -> tuple[Any, str]:
        self._expect("(")
        parts = []
        while True:
            name = self._name()
            field_id = self._fresh_id()
            stored, shown = self.read()
            parts.append((name, field_id, stored, shown))
            if not self._take(","):
                break
        self._expect(")")
        fields = [
            {"id": field_id, "name": name, "required": False, "type": stored}
            for name, field_id, stored, _ in parts
        ]
        shown = ", ".join(f"{quote(name)} {text}" for name, _, _, text in parts)
        return {"type": "struct", "fields": fields}, f"STRUCT({shown})"

    def _map(self) -> tuple[Any, str]:
        self._expect("(")
        key_id, value_id = self._fresh_id(), self._fresh_id()
        key, key_shown = self.read()
        self._expect(",")
        value, value_shown = self.read()
        self._expect(")")
        stored = {
            "type": "map",
            "key-id": key_id,
            "key": key,
            "value-id": value_id,
            "value": value,
            "value-required": False,
        }
        return stored, f"MAP({key_shown}, {value_shown})"

    def _decimal(self) -> tuple[Any, str]:
        arguments = self._arguments() if self._peek() == "(" else ["18", "3"]
        if not 1 <= len(arguments) <= 2 or not all(item.isdigit() for item in arguments):
            raise self._unknown()
        digits, scale = int(arguments[0]), int(arguments[1]) if len(arguments) == 2 else 0
        if not 1 <= digits <= 38 or scale > digits:
            raise InvalidDefinition(
                f"DECIMAL({digits},{scale}) cannot be: 1 to 38 digits, the scale within them"
            )
        return f"decimal({digits},{scale})", f"DECIMAL({digits},{scale})"

    def _arguments(self) -> list[str]:
        self._expect("(")
        found = []
        while self._peek() != ")":
            if self._at >= len(self._tokens):
                raise self._unknown()
            found.append(self._tokens[self._at])
            self._at += 1
            if not self._take(",") and self._peek() != ")":
                raise self._unknown()
        self._expect(")")
        return found

    def _name(self) -> str:
        token = self._peek()
        if not token or token in "(),[]":
            raise self._unknown()
        self._at += 1
        return token[1:-1].replace('""', '"') if token.startswith('"') else token

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self, token: str) -> bool:
        if self._peek() == token:
            self._at += 1
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._unknown()

    def _unknown(self, name: str | None = None) -> InvalidDefinition:
        return InvalidDefinition(
            f"the type {name or self._text.strip() or '(empty)'} is not supported",
            hint="see docs/reference/types.md",
        )
