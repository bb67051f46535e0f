"""PARTITIONED BY and SORTED BY: the user's texts as Iceberg JSON, and back.

``day(ts)``, ``bucket(16, id)``, ``truncate(4, name)``, ``id``; for an order also
``ts DESC NULLS LAST``. Spark's and DuckDB's plurals (``days(ts)``) mean the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lakehold.catalog.metadata.partitions import source_of
from lakehold.catalog.metadata.schemas import Field, fields_of
from lakehold.catalog.metadata.transforms import check_transform, split, transform_text
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

_NAMES = {
    "identity": "identity",
    "bucket": "bucket",
    **dict.fromkeys(("truncate", "trunc"), "truncate"),
    **dict.fromkeys(("year", "years"), "year"),
    **dict.fromkeys(("month", "months"), "month"),
    **dict.fromkeys(("day", "days", "date"), "day"),
    **dict.fromkeys(("hour", "hours", "date_hour"), "hour"),
}
_TOKEN = re.compile(r'\s*("(?:[^"]|"")+"|\d+|[^\W\d][\w$]*|[(),.])')


@dataclass(frozen=True, slots=True)
class _Term:
    transform: str
    field: Field


def partition_spec(texts: Sequence[str], schema: Json) -> Json:
    """A partition spec from the user's texts, without field ids.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    taken = {item["name"].lower() for item in schema["fields"]}
    terms: list[_Term] = []
    fields: list[Json] = []
    for text in texts:
        reading = _Reading(text, schema, "partition by")
        term = reading.term()
        reading.end()
        _check_once(term, terms, text)
        terms.append(term)
        name = _partition_name(term, taken)
        taken.add(name.lower())
        fields.append({"source-id": term.field.id, "transform": term.transform, "name": name})
    return {"spec-id": 0, "fields": fields}


def sort_order(texts: Sequence[str], schema: Json) -> Json:
    """A sort order from the user's texts; ascending with NULLs first unless it says else.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    fields: list[Json] = []
    for text in texts:
        reading = _Reading(text, schema, "sort by")
        term = reading.term()
        direction = "desc" if reading.word("DESC") else "asc"
        if direction == "asc":
            reading.word("ASC")
        nulls = "last" if direction == "desc" else "first"
        if reading.word("NULLS"):
            nulls = "first" if reading.word("FIRST") else reading.must("LAST")
        reading.end()
        fields.append(
            {
                "source-id": term.field.id,
                "transform": term.transform,
                "direction": direction,
                "null-order": f"nulls-{nulls}",
            }
        )
    return {"order-id": 1 if fields else 0, "fields": fields}


def partition_texts(spec: Json, schema: Json) -> tuple[str, ...]:
    """What a user would write for a partition spec."""
    fields = fields_of(schema)
    return tuple(
        transform_text(item["transform"], _name(fields, source_of(item)))
        for item in spec["fields"]
        if item["transform"] != "void"
    )


def sort_texts(order: Json, schema: Json) -> tuple[str, ...]:
    """What a user would write for a sort order."""
    fields = fields_of(schema)
    return tuple(
        f"{transform_text(item['transform'], _name(fields, source_of(item)))}"
        f" {item['direction'].upper()} {item['null-order'].replace('-', ' ').upper()}"
        for item in order["fields"]
    )


def _name(fields: dict[int, Field], source: int | None) -> str:
    field = fields.get(source) if source is not None else None
    return field.name if field else "?"


def _check_once(term: _Term, terms: list[_Term], text: str) -> None:
    """One of year, month, day, hour of a column says it all; nothing is said twice."""
    times = {"year", "month", "day", "hour"}
    for other in terms:
        if other.field.id != term.field.id:
            continue
        if other.transform == term.transform or {other.transform, term.transform} <= times:
            raise InvalidDefinition(
                f"{text}: the table is partitioned by {other.transform} of "
                f'"{term.field.name}" already'
            )


def _partition_name(term: _Term, taken: set[str]) -> str:
    """The name that Iceberg's own libraries give, made free if a column has it."""
    column = term.field.name.replace(".", "_")
    if term.transform == "identity" and "." not in term.field.name:
        return column
    name, width = split(term.transform)
    short = {"truncate": "trunc", "identity": ""}.get(name, name)
    wanted = "_".join(part for part in (column, short, str(width or "")) if part)
    made, number = wanted, 2
    while made.lower() in taken:
        made, number = f"{wanted}_{number}", number + 1
    return made


class _Reading:
    """One text, read from left to right."""

    def __init__(self, text: str, schema: Json, purpose: str) -> None:
        self._text, self._schema, self._purpose = text, schema, purpose
        self._tokens: list[str] = []
        self._at = 0
        place, end = 0, len(text.rstrip())
        while place < end:
            found = _TOKEN.match(text, place)
            if found is None:
                raise self._wrong()
            self._tokens.append(found[1])
            place = found.end()

    def term(self) -> _Term:
        """A column, or a transform of one."""
        if self._peek(1) == "(":
            transform, field = self._call()
        else:
            transform, field = "identity", self._column()
        check_transform(transform, field.type, field.name)
        return _Term(transform, field)

    def word(self, wanted: str) -> bool:
        """Go past a word if it comes next."""
        if self._peek().upper() == wanted:
            self._at += 1
            return True
        return False

    def must(self, wanted: str) -> str:
        if not self.word(wanted):
            raise self._wrong()
        return wanted.lower()

    def end(self) -> None:
        if self._at < len(self._tokens):
            raise self._wrong()

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _call(self) -> tuple[str, Field]:
        written = self._peek()
        name = _NAMES.get(written.lower())
        if name is None:
            raise InvalidDefinition(
                f"{self._text}: there is no transform {written}",
                hint="there are year, month, day, hour, bucket(n, x), truncate(n, x)",
            )
        self._at += 2
        width: int | None = None
        if name in ("bucket", "truncate"):
            width = self._number()
            if width is not None:
                self._sign(",")
        field = self._column()
        if name in ("bucket", "truncate") and width is None:
            self._sign(",")
            width = self._number()
        self._sign(")")
        if width is None and name in ("bucket", "truncate"):
            raise InvalidDefinition(f"{self._text}: {name} takes a width and a column")
        return (name if width is None else f"{name}[{width}]"), field

    def _number(self) -> int | None:
        if not self._peek().isdigit():
            return None
        self._at += 1
        return int(self._tokens[self._at - 1])

    def _sign(self, wanted: str) -> None:
        if self._peek() != wanted:
            raise self._wrong()
        self._at += 1

    def _column(self) -> Field:
        path = [self._part()]
        while self._peek() == ".":
            self._at += 1
            path.append(self._part())
        wanted = ".".join(path).lower()
        for field in fields_of(self._schema).values():
            if field.in_struct and field.name.lower() == wanted:
                return field
        raise InvalidDefinition(
            f'{self._text}: there is no column "{".".join(path)}" to {self._purpose}'
        )

    def _part(self) -> str:
        token = self._peek()
        if not token or token in "(),." or token.isdigit():
            raise self._wrong()
        self._at += 1
        return token[1:-1].replace('""', '"') if token.startswith('"') else token

    def _wrong(self) -> InvalidDefinition:
        return InvalidDefinition(
            f"cannot {self._purpose} {self._text.strip() or 'nothing'}",
            hint="write a column, or day(x), bucket(16, x), truncate(4, x)",
        )
