"""Namespaces: schemas, as outside engines know them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lakehold.catalog import LakeTransaction, Schema
from lakehold.errors import PermissionDenied
from lakehold.names import show
from lakehold.policy import Privilege
from lakehold.query.governed_catalog.operation import LAKE, Operation, Operations, schema_target

SEPARATOR = "."


class Namespaces:
    """Operations on namespaces. A namespace is named by its dotted form."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def names(self, parent: str | None = None) -> list[str]:
        """The namespaces right below ``parent``, or the top ones.

        A level that exists only as the beginning of a nested name is listed too.

        Raises:
            UndefinedSchema: if there is no such parent.
        """
        text = "LIST NAMESPACES" + (f" IN {show(parent)}" if parent else "")
        with self._operations.reading("LIST NAMESPACES", text) as operation:
            seen = [
                schema.name
                for schema in operation.catalog.schemas(operation.connection)
                if operation.may_see(schema_target(schema))
            ]
            inside = "" if parent is None else parent.lower() + SEPARATOR
            below = [name for name in seen if name.lower().startswith(inside)]
            if parent is not None and not below:
                operation.schema(parent)
            level = 1 if parent is None else parent.count(SEPARATOR) + 2
            heads: dict[str, str] = {}
            for name in below:
                head = SEPARATOR.join(name.split(SEPARATOR)[:level])
                heads.setdefault(head.lower(), head)
            return [heads[key] for key in sorted(heads)]

    def load(self, name: str) -> Schema:
        """A namespace with its properties.

        Raises:
            UndefinedSchema: if there is none, or the session may not know that there is.
        """
        with self._operations.reading("LOAD NAMESPACE", f"LOAD NAMESPACE {show(name)}") as found:
            return found.schema(name)

    def create(self, name: str, properties: Mapping[str, str]) -> Schema:
        """Make a namespace.

        Raises:
            DuplicateSchema: if there is one.
            PermissionDenied: without CREATE on the lake.
        """

        def authorize(operation: Operation) -> None:
            operation.require(Privilege.CREATE, LAKE, "the lake")

        def act(transaction: LakeTransaction, _: None) -> Schema:
            return transaction.create_schema(name, dict(properties))

        return self._operations.change(
            "CREATE NAMESPACE", f"CREATE NAMESPACE {show(name)}", authorize, act
        )

    def drop(self, name: str) -> None:
        """Remove an empty namespace.

        Raises:
            SchemaNotEmpty: if it holds anything.
            PermissionDenied: without OWNERSHIP of it.
        """

        def authorize(operation: Operation) -> Schema:
            schema = operation.schema(name)
            operation.require_on_schema(Privilege.OWNERSHIP, schema)
            return schema

        def act(transaction: LakeTransaction, schema: Schema) -> None:
            transaction.drop_schema(schema.name)

        self._operations.change("DROP NAMESPACE", f"DROP NAMESPACE {show(name)}", authorize, act)

    def update_properties(
        self, name: str, removals: Collection[str], updates: Mapping[str, str]
    ) -> tuple[list[str], list[str], list[str]]:
        """Change properties; returns the keys that were updated, removed, and missing.

        Raises:
            PermissionDenied: without OWNERSHIP of the namespace.
        """

        def authorize(operation: Operation) -> Schema:
            schema = operation.schema(name)
            operation.require_on_schema(Privilege.OWNERSHIP, schema)
            if any(key.startswith("lakehold.") for key in (*removals, *updates)):
                raise PermissionDenied("properties that begin with lakehold. are the platform's")
            return schema

        def act(
            transaction: LakeTransaction, schema: Schema
        ) -> tuple[list[str], list[str], list[str]]:
            removed = [key for key in removals if key in schema.properties]
            missing = [key for key in removals if key not in schema.properties]
            if removed or updates:
                transaction.set_schema_properties(schema.name, dict(updates), removed)
            return list(updates), removed, missing

        return self._operations.change(
            "UPDATE NAMESPACE", f"UPDATE NAMESPACE {show(name)}", authorize, act
        )
