"""Reading the text of a DuckDB type into a tree.

Grammar: ``name [(arguments)] [ARRAY | [n] | []]…``, names without case, aliases resolved to
the name that DuckDB itself prints. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from lakehold.errors import InvalidDefinition

TEXT_LENGTH_MAX = 100_000
"""Characters in the text of a type."""

DEPTH_MAX = 64
"""Types within types."""

DECIMAL_PRECISION_MAX = 38

_ALIASES = {
    "BOOLEAN": "BOOL LOGICAL",
    "TINYINT": "INT1",
    "SMALLINT": "INT2 INT16 SHORT",
    "INTEGER": "INT INT4 INT32 SIGNED INTEGRAL",
    "BIGINT": "INT8 INT64 LONG OID",
    "HUGEINT": "INT128",
    "UTINYINT": "UINT8",
    "USMALLINT": "UINT16",
    "UINTEGER": "UINT32",
    "UBIGINT": "UINT64",
    "UHUGEINT": "UINT128",
    "BIGNUM": "VARINT",
    "FLOAT": "FLOAT4 REAL",
    "DOUBLE": "FLOAT8",
    "DECIMAL": "NUMERIC DEC",
    "VARCHAR": "TEXT STRING CHAR CHARACTER BPCHAR NCHAR NVARCHAR",
    "BLOB": "BYTEA BINARY VARBINARY",
    "BIT": "BITSTRING",
    "UUID": "GUID",
    "TIMESTAMP": "DATETIME TIMESTAMP_US",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
    "TIME WITH TIME ZONE": "TIMETZ",
    "STRUCT": "ROW",
    "DATE": "",
    "TIME": "",
    "TIMESTAMP_S": "",
    "TIMESTAMP_MS": "",
    "TIMESTAMP_NS": "",
    "TIME_NS": "",
    "INTERVAL": "",
    "JSON": "",
    "ENUM": "",
    "MAP": "",
    "UNION": "",
    "GEOMETRY": "",
    "VARIANT": "",
    "NULL": "",
}
_NAMES = {alias: name for name, text in _ALIASES.items() for alias in (name, *text.split())}

_SECONDS = {0: "TIMESTAMP_S", **dict.fromkeys((1, 2, 3), "TIMESTAMP_MS")}
_SECONDS |= {**dict.fromkeys((4, 5, 6), "TIMESTAMP"), **dict.fromkeys((7, 8, 9), "TIMESTAMP_NS")}
"""TIMESTAMP(digits of a second) → the type that DuckDB makes of it."""

_WIDTH_IGNORED = frozenset({"VARCHAR", "BLOB", "BIT"})

_TOKEN = re.compile(
    r"""\s*(?: (?P<quoted>"(?:[^"]|"")*")
           | (?P<string>'(?:[^']|'')*')
           | (?P<number>\d+)
           | (?P<word>[^\W\d]\w*)
           | (?P<sign>[()\[\],]) )""",
    re.VERBOSE,
)

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_KEYWORD_TEXT = """
all analyse analyze and anti any array as asc asof asymmetric at authorization between
bigint binary bit boolean both by case cast char character check coalesce collate collation
column columns concurrently constraint create cross dec decimal default deferrable desc
describe distinct do else end except exists extract false fetch float for foreign freeze from
full generated glob group grouping grouping_id having ilike in initially inner inout int
integer intersect interval into is isnull join lambda lateral leading left like limit map
national natural nchar none not notnull null nullif numeric offset on only or order out outer
overlaps overlay pivot pivot_longer pivot_wider placing position positional precision primary
qualify real references returning right row select semi setof show similar smallint some
struct substring summarize symmetric table tablesample then time timestamp to trailing treat
trim true try_cast union unique unpack unpivot using values varchar variadic verbose when
where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest xmlnamespaces
xmlparse xmlpi xmlroot xmlserialize xmltable
"""
_KEYWORDS = frozenset(_KEYWORD_TEXT.split())
"""Words that DuckDB quotes as the name of a field (``duckdb_keywords()``: all but unreserved)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A type.

    Attributes:
        name: DuckDB's own name of it; ``LIST`` for lists and arrays.
        parts: the types within it.
        names: of a struct's fields.
        numbers: precision and scale of a decimal; the length of an array.
        values: of an enum.
    """

    name: str
    parts: tuple[Node, ...] = ()
    names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    values: tuple[str, ...] = ()


def parse_type(text: str) -> Node:
    """Read the text of a DuckDB type.

    Raises:
        InvalidDefinition: if it is none.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise InvalidDefinition(f"the text of a type has at most {TEXT_LENGTH_MAX} characters")
    return _Reading(text).whole()


def quote_field(name: str) -> str:
    """The name of a struct's field as DuckDB writes it: quoted only where it must be."""
    if _PLAIN.match(name) and name.lower() not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


class _Reading:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._at = 0
        self._depth = 0
        position, end = 0, len(text.rstrip())
        while position < end:
            found = _TOKEN.match(text, position)
            if found is None or found.lastgroup is None:
                self._fail(text[position:].strip()[:20])
            self._tokens.append((found.lastgroup, found[found.lastgroup]))
            position = found.end()

    def whole(self) -> Node:
        node = self._type()
        if self._at < len(self._tokens):
            self._fail(self._tokens[self._at][1])
        return node

    def _fail(self, near: str = "") -> NoReturn:
        place = f", near {near!r}" if near else ""
        shown = self._text if len(self._text) <= 200 else self._text[:200] + "…"
        raise InvalidDefinition(f"{shown!r} is not a type{place}")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _take(self, kind: str) -> str:
        found, text = self._peek()
        if found != kind:
            self._fail(text)
        self._at += 1
        return text

    def _sign(self, sign: str) -> bool:
        if self._peek() == ("sign", sign):
            self._at += 1
            return True
        return False

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            self._fail(self._peek()[1])

    def _words(self, *wanted: str) -> bool:
        found = self._tokens[self._at : self._at + len(wanted)]
        if [(kind, text.upper()) for kind, text in found] == [("word", w) for w in wanted]:
            self._at += len(wanted)
            return True
        return False

    def _type(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise InvalidDefinition(f"a type has at most {DEPTH_MAX} levels")
        node = self._single()
        levels = 0
        while True:
            if self._words("ARRAY"):
                length = self._length() if self._sign("[") else ()
            elif self._sign("["):
                length = self._length()
            else:
                break
            levels += 1
            if levels > DEPTH_MAX:
                raise InvalidDefinition(f"a type has at most {DEPTH_MAX} levels")
            node = Node("LIST", (node,), numbers=length)
        self._depth -= 1
        return node

    def _length(self) -> tuple[int, ...]:
        if self._sign("]"):
            return ()
        length = int(self._take("number"))
        self._need("]")
        if not 1 <= length <= 100_000:
            raise InvalidDefinition("the length of an array is between 1 and 100000")
        return (length,)

    def _single(self) -> Node:
        kind, text = self._peek()
        if kind == "quoted":
            text = text[1:-1].replace('""', '"')
        elif kind != "word":
            self._fail(text)
        self._at += 1
        name = _NAMES.get(text.upper())
        if name is None:
            raise InvalidDefinition(f"there is no type {text}")
        if kind == "word":
            name = self._longer(text.upper(), name)
        return self._with_arguments(name)

    def _longer(self, word: str, name: str) -> str:
        """Names of several words."""
        if word == "DOUBLE":
            self._words("PRECISION")
        elif word in ("CHAR", "CHARACTER", "NCHAR"):
            self._words("VARYING")
        elif word == "INTERVAL":
            self._unit()
        elif word in ("TIME", "TIMESTAMP"):
            return self._moment(name)
        return name

    def _moment(self, name: str) -> str:
        digits: int | None = None
        if self._sign("("):
            digits = int(self._take("number"))
            self._need(")")
            if digits > 9:
                raise InvalidDefinition(f"{name}({digits}): a second has at most 9 digits")
        if self._words("WITH", "TIME", "ZONE"):
            return f"{name} WITH TIME ZONE"
        self._words("WITHOUT", "TIME", "ZONE")
        if digits is None or name == "TIME":
            return name
        return _SECONDS[digits]

    def _unit(self) -> None:
        """INTERVAL DAY, INTERVAL DAY TO SECOND: the unit means nothing to DuckDB."""
        units = ("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "SECOND")
        to_another = any(self._words(unit) for unit in units) and self._words("TO")
        if to_another and not any(self._words(unit) for unit in units):
            self._fail(self._peek()[1])

    def _with_arguments(self, name: str) -> Node:
        if name == "STRUCT":
            return self._struct()
        if name == "MAP":
            self._need("(")
            key = self._type()
            self._need(",")
            value = self._type()
            self._need(")")
            return Node("MAP", (key, value))
        if name == "ENUM":
            return self._enum()
        if name == "DECIMAL":
            return self._decimal()
        if name == "UNION" or name == "GEOMETRY":
            self._skip()
            return Node(name)
        if name == "FLOAT" and self._sign("("):
            bits = int(self._take("number"))
            self._need(")")
            return Node("FLOAT" if bits < 25 else "DOUBLE")
        if name in _WIDTH_IGNORED and self._sign("("):
            self._take("number")
            self._need(")")
        return Node(name)

    def _struct(self) -> Node:
        self._need("(")
        names: list[str] = []
        parts: list[Node] = []
        while not parts or self._sign(","):
            kind, text = self._peek()
            if kind == "quoted":
                text = text[1:-1].replace('""', '"')
            elif kind != "word":
                self._fail(text)
            if not text:
                raise InvalidDefinition("a field of a STRUCT has a name")
            self._at += 1
            names.append(text)
            parts.append(self._type())
        self._need(")")
        return Node("STRUCT", tuple(parts), tuple(names))

    def _enum(self) -> Node:
        self._need("(")
        values: list[str] = []
        while not values or self._sign(","):
            values.append(self._take("string")[1:-1].replace("''", "'"))
        self._need(")")
        if len(set(values)) < len(values):
            raise InvalidDefinition("an ENUM names each value once")
        return Node("ENUM", values=tuple(values))

    def _decimal(self) -> Node:
        precision, scale = 18, 3
        if self._sign("("):
            precision, scale = int(self._take("number")), 0
            if self._sign(","):
                scale = int(self._take("number"))
            self._need(")")
        if not 1 <= precision <= DECIMAL_PRECISION_MAX:
            raise InvalidDefinition(
                f"DECIMAL({precision},{scale}): a decimal has between 1 and 38 digits"
            )
        if scale > precision:
            raise InvalidDefinition(
                f"DECIMAL({precision},{scale}): more digits after the point than there are"
            )
        return Node("DECIMAL", numbers=(precision, scale))

    def _skip(self) -> None:
        """The arguments of a type that is refused anyway."""
        if not self._sign("("):
            return
        depth = 1
        while depth:
            kind, text = self._peek()
            if kind == "end":
                self._fail()
            depth += (text == "(") - (text == ")") if kind == "sign" else 0
            self._at += 1
