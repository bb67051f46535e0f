"""From a CREATE TABLE to the catalog's terms: Iceberg types, partitioning, sort order."""

from __future__ import annotations

from lakehold.catalog import LakeTransaction, Relation
from lakehold.catalog.metadata import partition_spec, sort_order
from lakehold.catalog.relation import DEFAULT_PROPERTY, LOGICAL_TYPE_PROPERTY
from lakehold.catalog.types import schema_json
from lakehold.errors import InvalidDefinition
from lakehold.names import TableName, check_name
from lakehold.query import statements as s
from lakehold.query.tree import fold

RESERVED = "lakehold."
"""Properties of this prefix are the platform's."""


def create(
    transaction: LakeTransaction,
    name: TableName,
    columns: list[s.ColumnDefinition],
    statement: s.CreateTable,
) -> Relation:
    """Make a table in a transaction.

    Raises:
        InvalidDefinition: for a type, transform or property that cannot be.
    """
    for column in columns:
        check_name(column.name, "column name")
    schema, logical = schema_json(
        [(item.name, item.type, item.not_null, item.comment) for item in columns]
    )
    spec = partition_spec(statement.partitioning, schema) if statement.partitioning else None
    order = sort_order(statement.sort_order, schema) if statement.sort_order else None
    properties = user_properties(statement.properties)
    if statement.comment is not None:
        properties["comment"] = statement.comment
    made = transaction.create_table(
        name, schema, spec, order, properties, replace=statement.or_replace
    )
    names = {item["id"]: item["name"] for item in schema["fields"]}
    ids = {column.name: column.field_id for column in made.columns}
    extra = {
        f"{LOGICAL_TYPE_PROPERTY}{ids[names[field_id]]}": text for field_id, text in logical.items()
    }
    extra |= {
        f"{DEFAULT_PROPERTY}{ids[item.name]}": item.default
        for item in columns
        if item.default is not None
    }
    if not extra:
        return made
    transaction.update_table(made.id, [], [{"action": "set-properties", "updates": extra}])
    return reload(transaction, made)


def reload(transaction: LakeTransaction, relation: Relation) -> Relation:
    """A relation as the transaction sees it now."""
    from lakehold.catalog.relation import structure_of

    pointer = transaction.find(relation.id)
    assert pointer is not None
    metadata, _ = transaction.load(relation.id)
    return Relation.of(pointer, structure_of(metadata))


def user_properties(properties: tuple[tuple[str, str], ...]) -> dict[str, str]:
    """Properties that a user may set.

    Raises:
        InvalidDefinition: for one of the platform's.
    """
    found = {}
    for key, value in properties:
        key = key.replace("_", "-") if key == "format_version" else key
        if fold(key).startswith(RESERVED):
            raise InvalidDefinition(f"the property {key} belongs to the platform")
        found[key] = value
    return found
