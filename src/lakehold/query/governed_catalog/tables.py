"""Tables, as outside engines read and commit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lakehold.catalog import LakeTransaction, Relation
from lakehold.catalog.relation import Json
from lakehold.errors import InvalidRequest, PermissionDenied
from lakehold.names import TableName
from lakehold.policy import Privilege
from lakehold.query.governed_catalog import privileges
from lakehold.query.governed_catalog.manifests import EngineManifestReader, examine
from lakehold.query.governed_catalog.operation import (
    LAKE,
    LOCK_TIMEOUT_S,
    Operation,
    Operations,
)
from lakehold.query.scope import target

COMMIT_TABLES_MAX = 1_000
"""Tables that one transaction may change."""


@dataclass(frozen=True, slots=True)
class LoadedTable:
    """A table's metadata.

    Attributes:
        metadata_location: where it stands; ``None`` for a table that is staged only.
    """

    metadata: Json
    metadata_location: str | None


@dataclass(frozen=True, slots=True)
class TableCommit:
    """An Iceberg commit to one table."""

    name: TableName
    requirements: Sequence[Json]
    updates: Sequence[Json]

    @property
    def creates(self) -> bool:
        """Whether it makes a table that was staged."""
        return any(item.get("type") == "assert-create" for item in self.requirements)

    def __str__(self) -> str:
        actions = ", ".join(sorted({str(item.get("action")) for item in self.updates}))
        return f"{self.name} ({actions})"


@dataclass(frozen=True, slots=True)
class TableRequest:
    """A table to be made, in Iceberg's JSON forms."""

    schema: Json
    partition_spec: Json | None
    sort_order: Json | None
    properties: Mapping[str, str]
    location: str | None


@dataclass(frozen=True, slots=True)
class Permitted:
    """A commit that may be made.

    Attributes:
        table: what it changes; ``None`` if it makes one.
        schema: the namespace of the table.
        appends_only: whether it may be made only if it does nothing but append.
    """

    commit: TableCommit
    table: Relation | None
    schema: str
    appends_only: bool


class Tables:
    """Operations on tables."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def names(self, namespace: str) -> list[TableName]:
        """The tables of a namespace that the session may know of, by name."""
        return listed(self._operations, namespace, "table")

    def exists(self, name: TableName) -> None:
        """Raise ``UndefinedTable`` if there is no such table that the session may know of."""
        with self._operations.reading("TABLE EXISTS", f"TABLE EXISTS {name}") as operation:
            operation.relation(name, "table")

    def load(self, name: TableName, *, snapshots: Literal["all", "refs"] = "all") -> LoadedTable:
        """The metadata of a table, for an engine that will read its files.

        Args:
            snapshots: all of them, or only those that a branch or tag points at.

        Raises:
            UndefinedTable: if there is none, or the session may not know that there is.
            PermissionDenied: without SELECT on all of it.
        """
        with self._operations.reading("LOAD TABLE", f"LOAD TABLE {name}") as operation:
            relation = operation.relation(name, "table")
            operation.require_on(Privilege.SELECT, relation)
            operation.reads(relation)
            metadata = operation.catalog.metadata(relation.metadata_location)
        if snapshots == "refs":
            metadata = with_referenced_snapshots(metadata)
        return LoadedTable(metadata, relation.metadata_location)

    def credentials(self, name: TableName) -> None:
        """Refuse if the session may not have the files of a table.

        Raises:
            UndefinedTable, PermissionDenied: as ``load``.
        """
        with self._operations.reading("LOAD CREDENTIALS", f"LOAD CREDENTIALS {name}") as operation:
            relation = operation.relation(name, "table")
            operation.require_on(Privilege.SELECT, relation)

    def report(self, name: TableName) -> None:
        """Refuse a report about a table that the session may not read."""
        with self._operations.unrecorded() as operation:
            operation.require_on(Privilege.SELECT, operation.relation(name, "table"))

    def create(self, name: TableName, wanted: TableRequest, *, stage: bool) -> LoadedTable:
        """Make a table, or stage one that a later commit makes.

        Raises:
            DuplicateTable: if there is a table or view of that name.
            PermissionDenied: without CREATE on the namespace.
        """
        privileges.check_properties(wanted.properties)
        kind = "STAGE TABLE" if stage else "CREATE TABLE"

        def act(transaction: LakeTransaction, schema: str) -> LoadedTable:
            make = transaction.stage_table if stage else transaction.create_table
            made = make(
                TableName(schema, name.table),
                wanted.schema,
                wanted.partition_spec,
                wanted.sort_order,
                dict(wanted.properties),
                location=_absolute(wanted.location),
            )
            if isinstance(made, Relation):
                return _loaded(transaction, made)
            return LoadedTable(made, None)

        return self._operations.change(
            kind, f"{kind} {name}", lambda operation: _may_create(operation, name), act
        )

    def register(self, name: TableName, metadata_location: str) -> LoadedTable:
        """Take a table whose files are in the warehouse into the catalog.

        Raises:
            PermissionDenied: without CREATE on the lake and on the namespace: nobody else
                can say whose files they are.
        """

        def authorize(operation: Operation) -> str:
            schema = _may_create(operation, name)
            operation.require(Privilege.CREATE, LAKE, "the lake")
            return schema

        def act(transaction: LakeTransaction, schema: str) -> LoadedTable:
            made = transaction.register_table(TableName(schema, name.table), metadata_location)
            loaded = _loaded(transaction, made)
            privileges.check_properties(loaded.metadata.get("properties") or ())
            return loaded

        return self._operations.change("REGISTER TABLE", f"REGISTER TABLE {name}", authorize, act)

    def commit(self, commit: TableCommit) -> LoadedTable:
        """Commit to one table.

        Raises:
            CommitConflict: if a requirement does not hold, or another commit came first.
            UndefinedTable: if there is none, or the session may not know that there is.
            PermissionDenied: without the privileges that the updates ask for, and SELECT.
        """
        return self._commit("COMMIT TABLE", [commit])[0]

    def commit_all(self, commits: Sequence[TableCommit]) -> None:
        """Commit to several tables: all become visible together, or none."""
        if not 0 < len(commits) <= COMMIT_TABLES_MAX:
            raise InvalidRequest(f"a transaction changes 1 to {COMMIT_TABLES_MAX} tables")
        if len({commit.name.key for commit in commits}) < len(commits):
            raise InvalidRequest("a transaction names each table once")
        self._commit("COMMIT TRANSACTION", commits)

    def _commit(self, kind: str, commits: Sequence[TableCommit]) -> list[LoadedTable]:
        for commit in commits:
            privileges.check_requirements_known(commit.requirements)
            privileges.check_updates(commit.updates)

        reader = EngineManifestReader(self._operations.gateway.engine)

        def authorize(operation: Operation) -> list[Permitted]:
            return [_may_commit(operation, commit) for commit in commits]

        def act(transaction: LakeTransaction, found: list[Permitted]) -> list[LoadedTable]:
            tables = [item.table.id for item in found if item.table is not None]
            transaction.lock(tables, timeout_s=LOCK_TIMEOUT_S)
            return [_apply(transaction, item, reader) for item in found]

        text = f"{kind} " + "; ".join(str(commit) for commit in commits)
        return self._operations.change(kind, text, authorize, act)

    def drop(self, name: TableName, *, purge: bool) -> None:
        """Remove a table; with ``purge`` its files go too.

        Raises:
            PermissionDenied: without OWNERSHIP.
        """
        drop(self._operations, name, "table", purge=purge)

    def rename(self, old: TableName, new: TableName) -> None:
        """Give a table another name.

        Raises:
            DuplicateTable: if the new name is taken.
            PermissionDenied: without OWNERSHIP of it and CREATE on the other namespace.
        """
        rename(self._operations, old, new, "table")


def listed(
    operations: Operations, namespace: str, kind: Literal["table", "view"]
) -> list[TableName]:
    """The relations of a kind that the session may know of, by name."""
    what = f"LIST {kind.upper()}S"
    with operations.reading(what, f"{what} IN {namespace}") as operation:
        schema = operation.schema(namespace)
        return [
            relation.name
            for relation in operation.catalog.relations(operation.connection, [schema.id])
            if relation.kind == kind and operation.may_see(target(relation))
        ]


def drop(
    operations: Operations, name: TableName, kind: Literal["table", "view"], *, purge: bool
) -> None:
    """Remove a table or view."""

    def authorize(operation: Operation) -> Relation:
        relation = operation.relation(name, kind)
        operation.require_on(Privilege.OWNERSHIP, relation)
        operation.running.writes.add(relation.name)
        return relation

    def act(transaction: LakeTransaction, relation: Relation) -> None:
        transaction.lock([relation.id], timeout_s=LOCK_TIMEOUT_S)
        transaction.drop(relation.name, kind, purge=purge)

    what = f"DROP {kind.upper()}"
    text = f"{what} {name}" + (" PURGE" if purge else "")
    operations.change(what, text, authorize, act)


def rename(
    operations: Operations, old: TableName, new: TableName, kind: Literal["table", "view"]
) -> None:
    """Give a table or view another name, in the same namespace or another."""

    def authorize(operation: Operation) -> tuple[Relation, str]:
        relation = operation.relation(old, kind)
        operation.require_on(Privilege.OWNERSHIP, relation)
        operation.running.writes.update({relation.name, new})
        if relation.name.schema.lower() == new.schema.lower():
            return relation, relation.name.schema
        return relation, _may_create(operation, new)

    def act(transaction: LakeTransaction, found: tuple[Relation, str]) -> None:
        relation, schema = found
        transaction.rename(relation.name, TableName(schema, new.table), kind)

    what = f"RENAME {kind.upper()}"
    operations.change(what, f"{what} {old} TO {new}", authorize, act)


def with_referenced_snapshots(metadata: Json) -> Json:
    """Metadata with only the snapshots that a branch or tag points at (``snapshots=refs``)."""
    wanted = {reference["snapshot-id"] for reference in (metadata.get("refs") or {}).values()}
    wanted.add(metadata.get("current-snapshot-id"))
    kept = [item for item in metadata.get("snapshots") or () if item["snapshot-id"] in wanted]
    return {**metadata, "snapshots": kept}


def _may_create(operation: Operation, name: TableName) -> str:
    """The namespace in which a relation may be made; refuses if it may not."""
    schema = operation.schema(name.schema)
    operation.require_on_schema(Privilege.CREATE, schema)
    operation.running.writes.add(name)
    return schema.name


def _may_commit(operation: Operation, commit: TableCommit) -> Permitted:
    """The table that a commit changes, or the namespace in which it makes one."""
    needed = privileges.table_privileges(commit.updates)
    if commit.creates:
        return Permitted(commit, None, _may_create(operation, commit.name), False)
    relation = operation.relation(commit.name, "table")
    operation.require_on(Privilege.SELECT, relation)
    lacking = {p for p in needed if not operation.decide(p, target(relation)).unrestricted}
    appends_only = bool(lacking)
    if appends_only:
        needed = privileges.table_privileges(commit.updates, appends_only=True)
    for privilege in sorted(needed):
        operation.require_on(privilege, relation)
    operation.running.writes.add(relation.name)
    return Permitted(commit, relation, relation.name.schema, appends_only)


def _apply(
    transaction: LakeTransaction, permitted: Permitted, reader: EngineManifestReader
) -> LoadedTable:
    commit, table = permitted.commit, permitted.table
    if table is None:
        name = TableName(permitted.schema, commit.name.table)
        made = transaction.create_from_updates(name, commit.requirements, commit.updates)
        loaded = _loaded(transaction, made)
        examine(reader, None, loaded.metadata["location"], commit.updates)
        return loaded
    before, _ = transaction.load(table.id)
    appends = examine(reader, before, before["location"], commit.updates)
    if permitted.appends_only and not appends:
        raise PermissionDenied(
            f"this commit does more than append, and UPDATE and DELETE on {table.name} are not "
            "both granted"
        )
    return LoadedTable(*transaction.update_table(table.id, commit.requirements, commit.updates))


def _loaded(transaction: LakeTransaction, relation: Relation) -> LoadedTable:
    metadata, location = transaction.load(relation.id)
    return LoadedTable(metadata, location)


def _absolute(location: str | None) -> str | None:
    """A location that says where; some engines send a bare name, which is left to us."""
    if location and (location.startswith("/") or "://" in location or ":/" in location):
        return location
    return None
