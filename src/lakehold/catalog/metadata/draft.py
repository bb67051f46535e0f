"""A table's metadata while updates are applied to it, and how updates are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from lakehold.errors import InvalidDefinition, InvalidRequest

Json = dict[str, Any]
Value = TypeVar("Value")

LAST = -1
"""In an update: the schema, spec, order or version that this commit added last."""


@dataclass(slots=True)
class Numbers:
    """Ids that one commit gave: what the committer calls a thing, and what it is called here."""

    last: int | None = None
    given: dict[int, int] = field(default_factory=dict)

    def add(self, wanted: object, assigned: int) -> None:
        """Remember that the committer's ``wanted`` is ``assigned``."""
        self.last = assigned
        if isinstance(wanted, int) and not isinstance(wanted, bool):
            self.given[wanted] = assigned

    def find(self, wanted: int, what: str) -> int:
        """What an id in an update means.

        Raises:
            InvalidDefinition: for the last one added, if none was.
        """
        if wanted != LAST:
            return self.given.get(wanted, wanted)
        if self.last is None:
            raise InvalidDefinition(f"there is no {what} that this commit added")
        return self.last


@dataclass(slots=True)
class Draft:
    """A commit under way.

    Attributes:
        state: a shallow copy of the metadata; a list in it is replaced, never changed.
        base: what the metadata was; ``None`` for a new table.
        added_snapshots: ids of the snapshots that this commit added.
    """

    state: Json
    base: Json | None
    now_ms: int
    schemas: Numbers = field(default_factory=Numbers)
    specs: Numbers = field(default_factory=Numbers)
    orders: Numbers = field(default_factory=Numbers)
    added_snapshots: set[int] = field(default_factory=set)

    def items(self, key: str) -> list[Json]:
        """A list of the metadata, not to be changed."""
        found: list[Json] = self.state.get(key) or []
        return found

    def append(self, key: str, item: Json) -> None:
        """Put a thing at the end of a list of the metadata."""
        self.state[key] = [*(self.state.get(key) or ()), item]

    @property
    def format_version(self) -> int:
        return int(self.state["format-version"])

    def schema(self) -> Json:
        """The schema that specs and orders are bound to: the one just added, or the current.

        Raises:
            InvalidDefinition: if there is none yet.
        """
        wanted = self.state["current-schema-id"] if self.schemas.last is None else self.schemas.last
        found = item_of(self.items("schemas"), "schema-id", wanted)
        if found is None:
            raise InvalidDefinition("the table has no schema yet")
        return found


def item_of(items: list[Json], key: str, number: int) -> Json | None:
    """The item of a list that has an id."""
    return next((item for item in items if item.get(key) == number), None)


def needed(update: Json, key: str, kind: type[Value]) -> Value:
    """A member of an update.

    Raises:
        InvalidRequest: if it is missing, or of another type.
    """
    value = update.get(key)
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        fits = False
    if not fits:
        what = update.get("action") or update.get("type") or "an update"
        raise InvalidRequest(f"{what} needs {key}, which is {_SHOWN[kind]}")
    return cast(Value, value)


def optional(update: Json, key: str, kind: type[Value]) -> Value | None:
    """A member of an update that may be missing or null.

    Raises:
        InvalidRequest: if it is of another type.
    """
    return None if update.get(key) is None else needed(update, key, kind)


def needed_list(update: Json, key: str, kind: type[Value]) -> list[Value]:
    """A member of an update that is a list of one type.

    Raises:
        InvalidRequest: if it is missing, or of another type.
    """
    values = needed(update, key, list)
    if not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
        raise InvalidRequest(f"{update.get('action')} needs {key}, a list of {_SHOWN[kind]}")
    return values


def needed_texts(update: Json, key: str) -> dict[str, str]:
    """A member of an update that maps texts to texts.

    Raises:
        InvalidRequest: if it is missing, or of another type.
    """
    values = needed(update, key, dict)
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in values.items()):
        raise InvalidRequest(f"{update.get('action')} needs {key}, an object of texts")
    return values


_SHOWN: dict[type, str] = {int: "a number", str: "a text", dict: "an object", list: "a list"}
