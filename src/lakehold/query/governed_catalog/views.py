"""Views, as outside engines read and commit them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lakehold.catalog import LakeTransaction, Relation
from lakehold.catalog.relation import OWNER_PROPERTY, RIGHTS_PROPERTY, Json
from lakehold.errors import InvalidDefinition, InvalidRequest
from lakehold.names import TableName
from lakehold.policy import Privilege
from lakehold.query.governed_catalog import privileges
from lakehold.query.governed_catalog.operation import LOCK_TIMEOUT_S, Operation, Operations
from lakehold.query.governed_catalog.tables import drop, listed, rename

VIEW_UPDATES = frozenset(
    {
        "assign-uuid",
        "upgrade-format-version",
        "add-schema",
        "set-location",
        "set-properties",
        "remove-properties",
        "add-view-version",
        "set-current-view-version",
    }
)

VIEW_REQUIREMENTS = frozenset({"assert-view-uuid"})


@dataclass(frozen=True, slots=True)
class LoadedView:
    """A view's metadata, and where it stands."""

    metadata: Json
    metadata_location: str


class Views:
    """Operations on views.

    An engine outside runs a view's text itself, with its own principal's rights on the tables
    below; so the definer's rights have no effect there.
    """

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def names(self, namespace: str) -> list[TableName]:
        """The views of a namespace that the session may know of, by name."""
        return listed(self._operations, namespace, "view")

    def exists(self, name: TableName) -> None:
        """Raise ``UndefinedTable`` if there is no such view that the session may know of."""
        with self._operations.reading("VIEW EXISTS", f"VIEW EXISTS {name}") as operation:
            operation.relation(name, "view")

    def load(self, name: TableName) -> LoadedView:
        """The definition of a view.

        Raises:
            UndefinedTable: if there is none, or the session may not know that there is.
            PermissionDenied: without SELECT on all of it.
        """
        with self._operations.reading("LOAD VIEW", f"LOAD VIEW {name}") as operation:
            relation = operation.relation(name, "view")
            operation.require_on(Privilege.SELECT, relation)
            operation.reads(relation)
            metadata = operation.catalog.metadata(relation.metadata_location)
        return LoadedView(metadata, relation.metadata_location)

    def create(
        self,
        name: TableName,
        schema_json: Json,
        version: Json,
        properties: Mapping[str, str],
        location: str | None = None,
    ) -> LoadedView:
        """Make a view with the invoker's rights.

        Raises:
            DuplicateTable: if there is a table or view of that name.
            PermissionDenied: without CREATE on the namespace.
        """
        privileges.check_properties(properties)

        def authorize(operation: Operation) -> str:
            schema = operation.schema(name.schema)
            operation.require_on_schema(Privilege.CREATE, schema)
            operation.running.writes.add(name)
            return schema.name

        def act(transaction: LakeTransaction, schema: str) -> LoadedView:
            made = transaction.create_view_from(
                TableName(schema, name.table), schema_json, version, dict(properties)
            )
            return LoadedView(*transaction.load(made.id))

        return self._operations.change("CREATE VIEW", f"CREATE VIEW {name}", authorize, act)

    def commit(
        self, name: TableName, requirements: Sequence[Json], updates: Sequence[Json]
    ) -> LoadedView:
        """Replace a view's definition or change its properties.

        Raises:
            CommitConflict: if a requirement does not hold, or another commit came first.
            PermissionDenied: without OWNERSHIP.
        """
        for requirement in requirements:
            if requirement.get("type") not in VIEW_REQUIREMENTS:
                raise InvalidRequest(f"unknown requirement: {requirement.get('type')}")
        for update in updates:
            if update.get("action") not in VIEW_UPDATES:
                raise InvalidRequest(f"unknown update: {update.get('action')}")
        privileges.check_updates(updates)

        def authorize(operation: Operation) -> Relation:
            relation = operation.relation(name, "view")
            operation.require_on(Privilege.OWNERSHIP, relation)
            if relation.properties.get(RIGHTS_PROPERTY) == "definer":
                raise InvalidDefinition(
                    f"{name} runs with the rights of {relation.properties.get(OWNER_PROPERTY)}",
                    hint="use SQL to change it",
                )
            operation.running.writes.add(relation.name)
            return relation

        def act(transaction: LakeTransaction, relation: Relation) -> LoadedView:
            transaction.lock([relation.id], timeout_s=LOCK_TIMEOUT_S)
            return LoadedView(*transaction.update_table(relation.id, requirements, updates))

        return self._operations.change("COMMIT VIEW", f"COMMIT VIEW {name}", authorize, act)

    def drop(self, name: TableName) -> None:
        """Remove a view.

        Raises:
            PermissionDenied: without OWNERSHIP.
        """
        drop(self._operations, name, "view", purge=False)

    def rename(self, old: TableName, new: TableName) -> None:
        """Give a view another name."""
        rename(self._operations, old, new, "view")
