"""A lake transaction: changes in memory until one commit makes all of them visible."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace as changed
from uuid import UUID, uuid4

from lakehold.catalog import definition, durability, guard
from lakehold.catalog import metadata as engine
from lakehold.catalog.files import version_of
from lakehold.catalog.lifecycle import TransactionLifecycle
from lakehold.catalog.overlay import Base, Change, SchemaChange
from lakehold.catalog.relation import Json, Kind, Pointer, Relation, Rights, Schema
from lakehold.errors import (
    CommitConflict,
    DuplicateSchema,
    DuplicateTable,
    InvalidDefinition,
    SchemaNotEmpty,
    UndefinedSchema,
    UndefinedTable,
)
from lakehold.names import SYSTEM_SCHEMAS, TableName, check_name
from lakehold.storage import join, without_scheme

MAIN_SCHEMA = "main"
"""The schema that there always is."""


class LakeTransaction(TransactionLifecycle):
    """Changes of the catalog that become visible together, or not at all. Thread safe.

    What it reads, it reads through its own changes. Where it changed nothing it sees the
    catalog as it was at ``begin(snapshot=True)``, or without a snapshot as it is when a table
    is first touched after ``lock``. Between others' commits and this one the first wins:
    ``commit`` compares each pointer with what was found (``CommitConflict``).
    """

    # --- schemas ------------------------------------------------------------------------

    def create_schema(self, name: str, properties: Mapping[str, str] | None = None) -> Schema:
        """Make a schema; ``a.b`` is Iceberg's namespace ``["a", "b"]`` and needs no ``a``.

        Raises:
            DuplicateSchema: if there is one of that name, in any case.
        """
        check_name(name, "schema name")
        for level in name.split("."):
            check_name(level, "level of a schema name")
        if name.lower() in SYSTEM_SCHEMAS:
            raise InvalidDefinition(f"the schema {name} belongs to the platform")
        with self._changing(), self._base() as base:
            if self._overlay.schema(base, name) is not None:
                raise DuplicateSchema(f"there is a schema {name} already")
            schema = Schema(uuid4(), name, dict(properties or {}))
            self._overlay.schemas[schema.id] = SchemaChange(None, schema)
            return schema

    def set_schema_properties(
        self, name: str, updates: Mapping[str, str], removals: Collection[str] = ()
    ) -> Schema:
        """Change a schema's properties; what is in neither argument stays."""
        with self._changing(), self._base() as base:
            schema = self._schema(base, name)
            kept = {k: v for k, v in schema.properties.items() if k not in removals}
            after = Schema(schema.id, schema.name, kept | dict(updates))
            known = self._overlay.schemas.get(schema.id)
            before = known.before if known else schema
            self._overlay.schemas[schema.id] = SchemaChange(before, after)
            return after

    def drop_schema(self, name: str) -> Schema:
        """Remove a schema that holds nothing.

        Raises:
            SchemaNotEmpty: if it holds a table, a view or a nested schema.
        """
        with self._changing(), self._base() as base:
            schema = self._schema(base, name)
            if schema.name == MAIN_SCHEMA:
                raise InvalidDefinition("the schema main cannot be dropped")
            inside = schema.name.lower() + "."
            nested = [
                s for s in self._overlay.all_schemas(base) if s.name.lower().startswith(inside)
            ]
            if nested or self._overlay.all_pointers(base, [schema.id]):
                raise SchemaNotEmpty(
                    f"the schema {schema.name} is not empty", hint="drop what is in it first"
                )
            known = self._overlay.schemas.get(schema.id)
            if known is not None and known.before is None:
                del self._overlay.schemas[schema.id]
            else:
                self._overlay.schemas[schema.id] = SchemaChange(schema, None)
            return schema

    # --- tables and views ---------------------------------------------------------------

    def create_table(
        self,
        name: TableName,
        schema_json: Json,
        partition_spec: Json | None = None,
        sort_order: Json | None = None,
        properties: Mapping[str, str] | None = None,
        *,
        location: str | None = None,
        replace: bool = False,
    ) -> Relation:
        """Make a table, or with ``replace`` give one of that name a new structure and no rows.

        A replaced table keeps its id, history and the field ids of columns that stay. Where
        its history forbids the new structure (a former partition column is gone), the old
        table is dropped and another takes its name.

        Raises:
            DuplicateTable: if there is a table or view of that name.
            UndefinedSchema: if there is no such schema.
        """
        check_name(name.table, "table name")
        with self._changing(), self._base() as base:
            found = self._overlay.pointers(base, [name]).get(name)
            wanted = definition.TableDefinition(
                schema_json, partition_spec, sort_order, dict(properties or {})
            )
            if found is not None:
                self._check_replaceable(found, "table", replace)
                return self._replace_table(base, found, wanted)
            pointer = self._new_pointer(base, name, "table", location)
            guard.check_properties(self._resources.store, pointer.location, wanted.properties)
            made = definition.new_table(pointer, wanted, self._now_ms())
            self._folders.add(pointer.location)
            return self._add(pointer, made)

    def stage_table(
        self,
        name: TableName,
        schema_json: Json,
        partition_spec: Json | None = None,
        sort_order: Json | None = None,
        properties: Mapping[str, str] | None = None,
        *,
        location: str | None = None,
    ) -> Json:
        """The metadata that a table would have; nothing is made but its folders.

        Iceberg REST, ``stage-create``: a later ``create_from_updates`` makes the table.
        """
        check_name(name.table, "table name")
        with self._changing(), self._base() as base:
            found = self._overlay.pointers(base, [name]).get(name)
            if found is not None:
                raise DuplicateTable(f"there is a {found.kind} {found.name} already")
            pointer = self._new_pointer(base, name, "table", location)
            wanted = definition.TableDefinition(
                schema_json, partition_spec, sort_order, dict(properties or {})
            )
            guard.check_properties(self._resources.store, pointer.location, wanted.properties)
            self._make_folders(pointer.location)
            return definition.new_table(pointer, wanted, self._now_ms())

    def create_from_updates(
        self, name: TableName, requirements: Sequence[Json], updates: Sequence[Json]
    ) -> Relation:
        """Make a table from the updates of a staged create (requirement ``assert-create``).

        Raises:
            CommitConflict: if there is a table of that name by now.
        """
        check_name(name.table, "table name")
        with self._changing(), self._base() as base:
            if self._overlay.pointers(base, [name]):
                raise CommitConflict(f"{name} has been created by another")
            engine.check_requirements(None, list(requirements))
            location = next(
                (str(u["location"]) for u in updates if u.get("action") == "set-location"), None
            )
            pointer = self._new_pointer(base, name, "table", location)
            updates = [u for u in updates if u.get("action") != "set-location"]
            guard.check_updates(self._resources.store, pointer.location, updates)
            durability.sync_snapshots(self._resources.store, pointer.location, updates)
            placed: Json = {"action": "set-location", "location": pointer.location}
            if not any(u.get("action") == "assign-uuid" for u in updates):
                updates = [{"action": "assign-uuid", "uuid": str(pointer.id)}, *updates]
            made = engine.apply_updates(None, [*updates, placed], now_ms=self._now_ms())
            return self._add(pointer, made)

    def register_table(self, name: TableName, metadata_location: str) -> Relation:
        """Take a table whose files are in the warehouse already into the catalog."""
        check_name(name.table, "table name")
        with self._changing(), self._base() as base:
            found = self._overlay.pointers(base, [name]).get(name)
            if found is not None:
                raise DuplicateTable(f"there is a {found.kind} {found.name} already")
            metadata = self._resources.files.read(self._resources.store.check(metadata_location))
            guard.check_metadata(self._resources.store, metadata)
            pointer = self._new_pointer(base, name, "table", metadata["location"])
            pointer = changed(pointer, metadata_location=metadata_location)
            self._overlay.relations[pointer.id] = Change(None, pointer, metadata, registered=True)
            return self._relation(pointer)

    def create_view(
        self,
        name: TableName,
        sql: str,
        columns: Sequence[tuple[str, str]],
        *,
        rights: Rights = "invoker",
        owner: str,
        schema: str = MAIN_SCHEMA,
        comment: str | None = None,
        properties: Mapping[str, str] | None = None,
        replace: bool = False,
    ) -> Relation:
        """Make a view, or with ``replace`` give one of that name a new definition.

        Args:
            columns: names and DuckDB types of what ``sql`` returns.
            schema: the schema of names without one in ``sql``.
        """
        wanted = definition.view_definition(
            sql,
            columns,
            rights=rights,
            owner=owner,
            schema=schema,
            comment=comment,
            properties=properties or {},
        )
        return self.create_view_from(
            name, wanted.schema_json, wanted.version, wanted.properties, replace=replace
        )

    def create_view_from(
        self,
        name: TableName,
        schema_json: Json,
        view_version: Json,
        properties: Mapping[str, str] | None = None,
        *,
        location: str | None = None,
        replace: bool = False,
    ) -> Relation:
        """Make a view from Iceberg's own form of it (REST ``createView``)."""
        check_name(name.table, "view name")
        with self._changing(), self._base() as base:
            found = self._overlay.pointers(base, [name]).get(name)
            wanted = definition.ViewJson(schema_json, view_version, dict(properties or {}))
            if found is not None:
                self._check_replaceable(found, "view", replace)
                updates = definition.view_replacement(
                    self._metadata_of(found), wanted, self._now_ms()
                )
                self._update(base, found, [], updates)
                return self._relation(self._pointer(base, found.id))
            pointer = self._new_pointer(base, name, "view", location)
            self._folders.add(pointer.location)
            return self._add(pointer, definition.new_view(pointer, wanted, self._now_ms()))

    def drop(self, name: TableName, kind: Kind | None = None, purge: bool = False) -> Relation:
        """Remove a table or view; with ``purge`` its files go too, after the commit.

        Raises:
            UndefinedTable: if there is none of that name and kind.
        """
        with self._changing(), self._base() as base:
            pointer = self._named(base, name, kind)
            relation = self._relation(pointer)
            change = self._overlay.relations.get(pointer.id)
            if change is not None and change.before is None:
                del self._overlay.relations[pointer.id]
            else:
                before = change.before if change else pointer
                self._overlay.relations[pointer.id] = Change(before, None, purge=purge)
            return relation

    def rename(self, old: TableName, new: TableName, kind: Kind | None = None) -> Relation:
        """Give a table or view another name, in the same schema or another.

        Raises:
            DuplicateTable: if the new name is taken.
        """
        check_name(new.table, "table name")
        with self._changing(), self._base() as base:
            pointer = self._named(base, old, kind)
            schema = self._schema(base, new.schema)
            taken = self._overlay.pointers(base, [new]).get(new)
            if taken is not None and taken.id != pointer.id:
                raise DuplicateTable(f"there is a {taken.kind} {taken.name} already")
            change = self._overlay.relations.get(pointer.id) or Change(pointer, pointer)
            after = changed(
                pointer,
                schema_id=schema.id,
                name=TableName(schema.name, new.table),
                version=_bumped(change.before),
            )
            self._overlay.relations[pointer.id] = changed(change, after=after)
            return self._relation(after)

    def update_table(
        self, table_id: UUID, requirements: Sequence[Json], updates: Sequence[Json]
    ) -> tuple[Json, str]:
        """An Iceberg commit to a table or view, within this transaction.

        Returns:
            The metadata as this transaction now sees it, and where it is.

        Raises:
            CommitConflict: if a requirement does not hold.
            InvalidDefinition: if an update is not valid, or reaches outside of the table.
            UndefinedTable: if there is no such table.
        """
        with self._changing(), self._base() as base:
            pointer = self._pointer(base, table_id)
            return self._update(base, pointer, requirements, updates)

    # --- within -----------------------------------------------------------------------------

    def _schema(self, base: Base, name: str) -> Schema:
        schema = self._overlay.schema(base, name)
        if schema is None:
            raise UndefinedSchema(f"there is no schema {name}")
        return schema

    def _named(self, base: Base, name: TableName, kind: Kind | None) -> Pointer:
        pointer = self._overlay.pointers(base, [name]).get(name)
        if pointer is None or (kind is not None and pointer.kind != kind):
            raise UndefinedTable(f"there is no {kind or 'table or view'} {name}")
        return self._first_seen(pointer)

    def _pointer(self, base: Base, relation_id: UUID) -> Pointer:
        pointer = self._overlay.pointer(base, relation_id)
        if pointer is None:
            raise UndefinedTable("there is no such table; it may have been dropped")
        return self._first_seen(pointer)

    def _check_replaceable(self, found: Pointer, kind: Kind, asked: bool) -> None:
        if not asked:
            raise DuplicateTable(f"there is a {found.kind} {found.name} already")
        if found.kind != kind:
            raise DuplicateTable(f"{found.name} is a {found.kind}; a {kind} cannot replace it")

    def _new_pointer(
        self, base: Base, name: TableName, kind: Kind, location: str | None
    ) -> Pointer:
        """A row for a new relation, at a folder that no other has or had."""
        schema = self._schema(base, name.schema)
        relation_id = uuid4()
        store = self._resources.store
        if location is None:
            folder = f"{_slug(name.table)}-{relation_id.hex}"
            location = join(store.root, _slug(schema.name), folder)
        else:
            location = store.check(location).rstrip("/")
            if without_scheme(location) == without_scheme(store.root):
                raise InvalidDefinition("a table cannot have the whole warehouse as its location")
        named = TableName(schema.name, name.table)
        return Pointer(relation_id, schema.id, named, kind, 1, "", location)

    def _add(self, pointer: Pointer, metadata: Json) -> Relation:
        """Write the first metadata of a new relation and put it into the overlay."""
        if pointer.kind == "table":
            self._make_folders(pointer.location)
        written = self._write(pointer.location, 0, metadata)
        pointer = changed(pointer, metadata_location=written)
        self._overlay.relations[pointer.id] = Change(None, pointer, metadata)
        return self._relation(pointer)

    def _make_folders(self, location: str) -> None:
        """Some writers expect the folders of a table on local disk."""
        for folder in ("metadata", "data"):
            self._resources.store.make_folder(join(location, folder))

    def _write(self, location: str, version: int, metadata: Json) -> str:
        written = self._resources.files.write(location, version, metadata)
        self._files.add(written)
        return written

    def _update(
        self, base: Base, pointer: Pointer, requirements: Sequence[Json], updates: Sequence[Json]
    ) -> tuple[Json, str]:
        change = self._overlay.relations.get(pointer.id) or Change(pointer, pointer)
        current = self._metadata_of(pointer)
        draft = current if change.draft is None else change.draft
        guard.check_updates(self._resources.store, pointer.location, updates)
        durability.sync_snapshots(self._resources.store, pointer.location, updates)
        now_ms = self._now_ms()
        if pointer.kind == "view":
            engine.check_view_requirements(current, list(requirements))
            draft = finished = engine.apply_view_updates(current, list(updates), now_ms=now_ms)
        else:
            engine.check_requirements(current, list(requirements))
            draft = engine.apply_updates(draft, list(updates), now_ms=now_ms)
            finished = self._finish(change, current, draft, now_ms)
            draft = finished if change.before is None else draft
        if not updates:
            return current, pointer.metadata_location
        version = version_of(pointer.metadata_location) + 1
        written = self._write(pointer.location, version, finished)
        after = changed(pointer, metadata_location=written)
        if definition.may_change_structure(updates):
            files = self._resources.files
            if files.structure(written) != files.structure(pointer.metadata_location):
                after = changed(after, version=_bumped(change.before))
        self._overlay.relations[pointer.id] = changed(change, after=after, draft=draft)
        return finished, written

    def _finish(self, change: Change, current: Json, draft: Json, now_ms: int) -> Json:
        """What a commit leaves behind in the metadata, against what is committed now."""
        before = change.before
        if before is not None:
            return engine.finish_commit(
                self._metadata_of(before),
                draft,
                base_location=before.metadata_location,
                now_ms=now_ms,
            )
        return engine.finish_commit(current, draft, base_location="", now_ms=now_ms)

    def _replace_table(
        self, base: Base, found: Pointer, wanted: definition.TableDefinition
    ) -> Relation:
        """Give a table a new structure, or where its history forbids that, another table."""
        found = self._first_seen(found)
        updates = definition.replacement(self._metadata_of(found), wanted, self._now_ms())
        try:
            self._update(base, found, [], updates)
        except InvalidDefinition:
            self.drop(found.name)
            return self.create_table(
                found.name,
                wanted.schema_json,
                wanted.partition_spec,
                wanted.sort_order,
                wanted.properties,
            )
        return self._relation(self._pointer(base, found.id))

    def _relation(self, pointer: Pointer) -> Relation:
        return Relation.of(pointer, self._resources.files.structure(pointer.metadata_location))

    def _now_ms(self) -> int:
        return int(self._resources.clock().timestamp() * 1000)


def _bumped(before: Pointer | None) -> int:
    """The structure's version after a change; one step for a whole transaction."""
    return before.version + 1 if before is not None else 1


def _slug(name: str) -> str:
    """A name as a part of a path that every engine reads alike."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:48] or "_"
