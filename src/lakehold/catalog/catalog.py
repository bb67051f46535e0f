"""The catalog: which schemas, tables and views there are, and what they look like."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from lakehold.catalog import history, store
from lakehold.catalog.files import CACHE_BYTES_DEFAULT, MetadataFiles
from lakehold.catalog.lifecycle import ConnectionBase
from lakehold.catalog.overlay import Overlay, Pinned
from lakehold.catalog.relation import Column, Json, Relation, Schema
from lakehold.catalog.resources import Resources
from lakehold.catalog.store import Dropped
from lakehold.catalog.sweep import SAFETY_AGE, SweepReport, sweep
from lakehold.catalog.transaction import LakeTransaction
from lakehold.clock import Clock
from lakehold.errors import ConfigurationInvalid
from lakehold.names import TableName
from lakehold.state import REPEATABLE_READ, Connection, Database
from lakehold.storage import ObjectStore, without_scheme


class Catalog:
    """The public face. Made once; thread safe.

    Reading takes a PostgreSQL transaction's connection, so that everything a statement sees
    is of one moment (invariant 3). Every change goes through a ``LakeTransaction``.
    """

    def __init__(
        self,
        database: Database,
        store: ObjectStore,
        *,
        clock: Clock,
        warehouse: str | None = None,
        cache_bytes: int = CACHE_BYTES_DEFAULT,
    ) -> None:
        if warehouse is not None and without_scheme(warehouse).rstrip("/") != without_scheme(
            store.root
        ):
            raise ConfigurationInvalid("the warehouse is not the root of the object store")
        files = MetadataFiles(store, cache_bytes=cache_bytes)
        self._resources = Resources(database, store, files, clock)

    @property
    def warehouse(self) -> str:
        """The location under which everything is."""
        return self._resources.store.root

    # --- reading ------------------------------------------------------------------------

    def resolve(
        self,
        conn: Connection,
        names: Sequence[TableName],
        *,
        transaction: LakeTransaction | None = None,
    ) -> dict[TableName, Relation]:
        """The relations of those names; a name that is not there is not in the answer."""
        if not names:
            return {}
        if transaction is None:
            found = Overlay().pointers(ConnectionBase(conn), names)
        else:
            with transaction.view_over(conn) as (overlay, base):
                found = overlay.pointers(base, names)
        files = self._resources.files
        return {
            name: Relation.of(pointer, files.structure(pointer.metadata_location))
            for name, pointer in found.items()
        }

    def pointers(
        self,
        conn: Connection,
        ids: Sequence[UUID],
        *,
        transaction: LakeTransaction | None = None,
    ) -> dict[UUID, tuple[int, str, TableName]]:
        """Structure version, metadata location and name by id: is a cached plan still good?"""
        if not ids:
            return {}
        if transaction is None:
            found = {p.id: p for p in store.pointers_by_id(conn, ids)}
        else:
            with transaction.view_over(conn) as (overlay, base):
                found = overlay.pointers_by_id(base, ids)
        return {i: (p.version, p.metadata_location, p.name) for i, p in found.items()}

    def schema(
        self, conn: Connection, name: str, transaction: LakeTransaction | None = None
    ) -> Schema | None:
        """The schema of that name, compared without case."""
        if transaction is None:
            return store.schema_by_name(conn, name)
        with transaction.view_over(conn) as (overlay, base):
            return overlay.schema(base, name)

    def schemas(self, conn: Connection, transaction: LakeTransaction | None = None) -> list[Schema]:
        """Every schema, by name."""
        if transaction is None:
            return store.all_schemas(conn)
        with transaction.view_over(conn) as (overlay, base):
            return overlay.all_schemas(base)

    def relations(
        self,
        conn: Connection,
        schema_ids: Collection[UUID] | None = None,
        transaction: LakeTransaction | None = None,
    ) -> list[Relation]:
        """The relations of those schemas, or of all, by name."""
        if transaction is None:
            found = Overlay().all_pointers(ConnectionBase(conn), schema_ids)
        else:
            with transaction.view_over(conn) as (overlay, base):
                found = overlay.all_pointers(base, schema_ids)
        files = self._resources.files
        return [Relation.of(p, files.structure(p.metadata_location)) for p in found]

    def names(
        self,
        conn: Connection,
        schema_id: UUID,
        transaction: LakeTransaction | None = None,
    ) -> list[tuple[UUID, str, TableName]]:
        """Id, kind and name of a schema's relations, by name, without reading metadata."""
        if transaction is None:
            found = Overlay().all_pointers(ConnectionBase(conn), [schema_id])
        else:
            with transaction.view_over(conn) as (overlay, base):
                found = overlay.all_pointers(base, [schema_id])
        return [(p.id, p.kind, p.name) for p in found]

    def metadata(self, location: str) -> Json:
        """Parsed metadata; not to be changed by the caller.

        Raises:
            ObjectMissing: if there is none at ``location``.
        """
        return self._resources.files.read(location)

    def snapshot_at(
        self,
        metadata: Json,
        *,
        version: int | str | None = None,
        timestamp: datetime | None = None,
    ) -> Json:
        """The snapshot at a version or a moment; see ``history.snapshot_at``."""
        return history.snapshot_at(metadata, version=version, timestamp=timestamp)

    def columns_at(self, metadata: Json, snapshot: Json) -> tuple[Column, ...]:
        """The columns that the table had when a snapshot was made."""
        return history.columns_at(metadata, snapshot)

    # --- changing -----------------------------------------------------------------------

    def begin(self, *, snapshot: bool = False) -> LakeTransaction:
        """Start a lake transaction.

        Args:
            snapshot: see the whole catalog as it is now until the end (``BEGIN`` of a user);
                without, each table is seen as it is when it is first touched.
        """
        pinned = None
        if snapshot:
            database = self._resources.database
            with database.transaction(isolation=REPEATABLE_READ, read_only=True) as conn:
                pinned = Pinned(store.all_schemas(conn), store.pointers_of_schemas(conn, None))
        transaction = LakeTransaction(self._resources, pinned)
        self._resources.began(transaction.id, transaction.began_at)
        return transaction

    # --- cleaning -----------------------------------------------------------------------

    def dropped(self, conn: Connection) -> list[Dropped]:
        """What was dropped without ``purge``, newest first; its files are kept."""
        return store.dropped_relations(conn)

    def sweep(self, older_than: timedelta = SAFETY_AGE) -> SweepReport:
        """Delete files that failed commits left behind; see ``sweep.sweep``."""
        return sweep(self._resources, older_than)
