"""What a lake transaction has changed and not committed: plain values, no I/O.

An overlay lies over the catalog as the transaction sees it (its base). The base answers by
schema and name; the overlay answers first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from lakehold.catalog.relation import Json, Pointer, Schema
from lakehold.names import TableName


class Base(Protocol):
    """The catalog under an overlay."""

    def schema(self, name: str) -> Schema | None:
        """The schema of that name, compared without case."""

    def schemas(self) -> list[Schema]:
        """Every schema."""

    def by_name(self, names: Collection[TableName]) -> list[Pointer]:
        """The relations of those names that there are."""

    def by_id(self, ids: Collection[UUID]) -> list[Pointer]:
        """The relations of those ids that there are."""

    def of_schemas(self, ids: Collection[UUID] | None) -> list[Pointer]:
        """The relations of those schemas, or of all."""


class Pinned:
    """A base in memory: the whole catalog as it was at one moment."""

    def __init__(self, schemas: Iterable[Schema], pointers: Iterable[Pointer]) -> None:
        self._schemas = {schema.name.lower(): schema for schema in schemas}
        self._by_id = {pointer.id: pointer for pointer in pointers}
        self._by_key = {pointer.name.key: pointer for pointer in self._by_id.values()}

    def schema(self, name: str) -> Schema | None:
        return self._schemas.get(name.lower())

    def schemas(self) -> list[Schema]:
        return [self._schemas[key] for key in sorted(self._schemas)]

    def by_name(self, names: Collection[TableName]) -> list[Pointer]:
        found = (self._by_key.get(key) for key in {name.key for name in names})
        return [pointer for pointer in found if pointer is not None]

    def by_id(self, ids: Collection[UUID]) -> list[Pointer]:
        found = (self._by_id.get(relation_id) for relation_id in ids)
        return [pointer for pointer in found if pointer is not None]

    def of_schemas(self, ids: Collection[UUID] | None) -> list[Pointer]:
        return [p for p in self._by_id.values() if ids is None or p.schema_id in ids]


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A schema as the transaction leaves it; ``before`` is ``None`` if it was made here."""

    before: Schema | None
    after: Schema | None


@dataclass(frozen=True, slots=True)
class Change:
    """A relation as the transaction leaves it.

    Attributes:
        before: as it was found; ``None`` if it was made here.
        after: as it will be; ``None`` if it is dropped.
        draft: its metadata without the traces of a commit (``metadata-log``), to which the
            next update in this transaction applies; ``None`` if it is unchanged.
        purge: with a drop, whether its files go too.
        registered: whether its files were there before it was in the catalog.
    """

    before: Pointer | None
    after: Pointer | None
    draft: Json | None = None
    purge: bool = False
    registered: bool = False


@dataclass(slots=True)
class Overlay:
    """Changes by id. Values are frozen, so that a copy of the dictionaries is a savepoint."""

    schemas: dict[UUID, SchemaChange] = field(default_factory=dict)
    relations: dict[UUID, Change] = field(default_factory=dict)

    def copy(self) -> Overlay:
        return Overlay(dict(self.schemas), dict(self.relations))

    @property
    def is_empty(self) -> bool:
        return not self.schemas and not self.relations

    def schema(self, base: Base, name: str) -> Schema | None:
        """The schema of that name as the transaction sees it."""
        key = name.lower()
        for change in self.schemas.values():
            if change.after is not None and change.after.name.lower() == key:
                return change.after
        found = base.schema(name)
        return None if found is None or found.id in self.schemas else found

    def all_schemas(self, base: Base) -> list[Schema]:
        """Every schema as the transaction sees it, by name."""
        schemas = [s for s in base.schemas() if s.id not in self.schemas]
        schemas += [c.after for c in self.schemas.values() if c.after is not None]
        return sorted(schemas, key=lambda schema: schema.name.lower())

    def pointers(self, base: Base, names: Collection[TableName]) -> dict[TableName, Pointer]:
        """The relations of those names as the transaction sees them, by the name asked for."""
        live = {
            change.after.name.key: change.after
            for change in self.relations.values()
            if change.after is not None
        }
        missing = [name for name in names if name.key not in live]
        if missing:
            for pointer in base.by_name(missing):
                if pointer.id not in self.relations and pointer.schema_id not in self._gone:
                    live[pointer.name.key] = pointer
        return {name: live[name.key] for name in names if name.key in live}

    def pointer(self, base: Base, relation_id: UUID) -> Pointer | None:
        """One relation as the transaction sees it."""
        return self.pointers_by_id(base, [relation_id]).get(relation_id)

    def pointers_by_id(self, base: Base, ids: Collection[UUID]) -> dict[UUID, Pointer]:
        """Relations by id as the transaction sees them."""
        found: dict[UUID, Pointer] = {}
        missing = [relation_id for relation_id in ids if relation_id not in self.relations]
        for pointer in base.by_id(missing) if missing else ():
            found[pointer.id] = pointer
        for relation_id in ids:
            change = self.relations.get(relation_id)
            if change is not None and change.after is not None:
                found[relation_id] = change.after
        return found

    def all_pointers(self, base: Base, schema_ids: Collection[UUID] | None) -> list[Pointer]:
        """The relations of those schemas, or of all, as the transaction sees them."""
        found = [p for p in base.of_schemas(schema_ids) if p.id not in self.relations]
        for change in self.relations.values():
            after = change.after
            if after is not None and (schema_ids is None or after.schema_id in schema_ids):
                found.append(after)
        return sorted(found, key=lambda pointer: pointer.name.key)

    @property
    def _gone(self) -> Collection[UUID]:
        return {i for i, change in self.schemas.items() if change.after is None}

    def metadata_locations(self) -> Mapping[UUID, str]:
        """Where the metadata is that this overlay points to, of what it changed."""
        return {
            relation_id: change.after.metadata_location
            for relation_id, change in self.relations.items()
            if change.after is not None
        }
