"""Relations as the gateway sees them, read from Iceberg metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias
from uuid import UUID

from lakehold.catalog.metadata import partition_texts, sort_texts
from lakehold.catalog.types import duckdb_type
from lakehold.names import TableName

Json: TypeAlias = dict[str, Any]
"""A parsed JSON object. Metadata is treated as immutable everywhere."""

Kind: TypeAlias = Literal["table", "view"]
Rights: TypeAlias = Literal["invoker", "definer"]

LOGICAL_TYPE_PROPERTY = "lakehold.logical-type."
"""With a field id: the DuckDB type that a column shows, where Iceberg has no such type."""

DEFAULT_PROPERTY = "lakehold.default."
"""With a field id: the SQL text of a column's default."""

COMMENT_PROPERTY = "comment"
RIGHTS_PROPERTY = "lakehold.view-rights"
OWNER_PROPERTY = "lakehold.view-owner"

DIALECT = "duckdb"
"""The dialect of the views that the gateway can run."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        field_id: Iceberg's id of the column; it outlives renames.
        type: the DuckDB type that users see.
        storage_type: the DuckDB type of what stands in Parquet.
        default: SQL text.
    """

    field_id: int
    name: str
    type: str
    storage_type: str
    required: bool = False
    comment: str | None = None
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ViewDefinition:
    """What a view runs.

    Attributes:
        schema: the schema of names without one in ``sql``.
        rights: whose privileges count below the view.
        owner: the role whose privileges count with the definer's rights.
    """

    sql: str
    schema: str
    rights: Rights
    owner: str


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema: an Iceberg namespace, in its dotted form."""

    id: UUID
    name: str
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Pointer:
    """A relation's row in the catalog: its name, and where its metadata is.

    Attributes:
        version: counts changes of structure, not of data.
        location: the folder that belongs to the relation alone.
    """

    id: UUID
    schema_id: UUID
    name: TableName
    kind: Kind
    version: int
    metadata_location: str
    location: str


@dataclass(frozen=True, slots=True)
class Structure:
    """What a metadata file says about a relation's shape; all that ``version`` counts."""

    columns: tuple[Column, ...]
    comment: str | None
    properties: Mapping[str, str]
    partitioning: tuple[str, ...] = ()
    sort_order: tuple[str, ...] = ()
    view: ViewDefinition | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view: where it is and what it looks like.

    Attributes:
        version: bumped when the structure changes (columns, name, properties, partitioning).
        partitioning: transforms as SQL text, such as ``day(departed)`` or ``bucket(16, id)``.
        sort_order: such as ``departed DESC NULLS LAST``.
    """

    id: UUID
    schema_id: UUID
    name: TableName
    kind: Kind
    version: int
    metadata_location: str
    columns: tuple[Column, ...]
    comment: str | None
    properties: Mapping[str, str]
    partitioning: tuple[str, ...] = ()
    sort_order: tuple[str, ...] = ()
    view: ViewDefinition | None = None

    @staticmethod
    def of(pointer: Pointer, structure: Structure) -> Relation:
        """Put a pointer and what its metadata says together."""
        return Relation(
            pointer.id,
            pointer.schema_id,
            pointer.name,
            pointer.kind,
            pointer.version,
            pointer.metadata_location,
            structure.columns,
            structure.comment,
            structure.properties,
            structure.partitioning,
            structure.sort_order,
            structure.view,
        )


def structure_of(metadata: Json) -> Structure:
    """Read the shape of a table or view from its metadata."""
    properties: dict[str, str] = metadata.get("properties") or {}
    comment = properties.get(COMMENT_PROPERTY)
    frozen = MappingProxyType(properties)
    if "view-uuid" in metadata:
        version = current_view_version(metadata)
        return Structure(
            columns_of(schema_by_id(metadata, version["schema-id"]), properties),
            comment,
            frozen,
            view=_view_definition(version, properties),
        )
    schema = schema_by_id(metadata, metadata["current-schema-id"])
    return Structure(
        columns_of(schema, properties),
        comment,
        frozen,
        _partitioning(metadata, schema),
        _sort_order(metadata, schema),
    )


def schema_by_id(metadata: Json, schema_id: int) -> Json:
    """The schema of that id in a table's or view's metadata."""
    schema: Json = next(s for s in metadata["schemas"] if s["schema-id"] == schema_id)
    return schema


def columns_of(schema: Json, properties: Mapping[str, str]) -> tuple[Column, ...]:
    """The columns of an Iceberg schema, with the logical types that the properties remember."""
    columns = []
    for item in schema["fields"]:
        field_id = item["id"]
        storage_type = duckdb_type(item["type"])
        columns.append(
            Column(
                field_id,
                item["name"],
                properties.get(f"{LOGICAL_TYPE_PROPERTY}{field_id}", storage_type),
                storage_type,
                bool(item.get("required")),
                item.get("doc"),
                properties.get(f"{DEFAULT_PROPERTY}{field_id}"),
            )
        )
    return tuple(columns)


def current_view_version(metadata: Json) -> Json:
    """The version of a view that counts now."""
    current = metadata["current-version-id"]
    version: Json = next(v for v in metadata["versions"] if v["version-id"] == current)
    return version


def _view_definition(version: Json, properties: Mapping[str, str]) -> ViewDefinition | None:
    """What the gateway can run; ``None`` if the view is written in other dialects only."""
    for item in version.get("representations", ()):
        if item.get("type") == "sql" and item.get("dialect", "").lower() == DIALECT:
            rights: Rights = (
                "definer" if properties.get(RIGHTS_PROPERTY) == "definer" else "invoker"
            )
            namespace = ".".join(version.get("default-namespace") or ()) or "main"
            owner = properties.get(OWNER_PROPERTY, "")
            return ViewDefinition(item["sql"], namespace, rights, owner)
    return None


def _partitioning(metadata: Json, schema: Json) -> tuple[str, ...]:
    default = metadata.get("default-spec-id")
    for spec in metadata.get("partition-specs") or ():
        if spec.get("spec-id") == default:
            return partition_texts(spec, schema)
    return ()


def _sort_order(metadata: Json, schema: Json) -> tuple[str, ...]:
    default = metadata.get("default-sort-order-id")
    for order in metadata.get("sort-orders") or ():
        if order.get("order-id") == default:
            return sort_texts(order, schema)
    return ()
