"""ALTER TABLE and COMMENT as Iceberg metadata updates (REST spec: TableUpdate)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lakehold.catalog import LakeTransaction, Relation
from lakehold.catalog.metadata import partition_spec, sort_order
from lakehold.catalog.relation import DEFAULT_PROPERTY, LOGICAL_TYPE_PROPERTY, schema_by_id
from lakehold.catalog.types import duckdb_type, iceberg_type, may_become
from lakehold.errors import (
    DuplicateObject,
    InvalidDefinition,
    StatementNotSupported,
    UndefinedColumn,
)
from lakehold.names import TableName, check_name
from lakehold.query import statements as s
from lakehold.query.tables import user_properties
from lakehold.query.tree import fold

Json = dict[str, Any]


def alter(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    """Make the change in a transaction.

    Raises:
        UndefinedColumn, InvalidDefinition, DuplicateObject, StatementNotSupported
    """
    if len(statement.column) > 1:
        raise StatementNotSupported("a field of a struct cannot be altered on its own")
    rule = _ACTIONS.get(statement.action)
    if rule is None:
        raise StatementNotSupported(f"ALTER TABLE … {statement.action} is not supported")
    rule(statement, relation, transaction)


def set_table_properties(
    transaction: LakeTransaction,
    relation: Relation,
    values: Mapping[str, str],
    removals: Collection[str] = (),
) -> None:
    """Set and remove properties of a table or view."""
    updates: list[Json] = []
    if values:
        updates.append({"action": "set-properties", "updates": dict(values)})
    if removals:
        updates.append({"action": "remove-properties", "removals": list(removals)})
    if updates:
        transaction.update_table(relation.id, [], updates)


def comment_column(
    transaction: LakeTransaction, relation: Relation, name: str, comment: str | None
) -> None:
    """COMMENT ON COLUMN: the field's ``doc``."""
    if relation.kind != "table":
        raise StatementNotSupported("columns of views have no comments")
    metadata, schema = _schema(transaction, relation)
    field = _field(schema, name, relation)
    field.pop("doc", None)
    if comment is not None:
        field["doc"] = comment
    _set_schema(transaction, relation, schema, metadata["last-column-id"])


def _add(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    definition = statement.definition
    assert definition is not None
    check_name(definition.name, "column name")
    metadata, schema = _schema(transaction, relation)
    if any(fold(item["name"]) == fold(definition.name) for item in schema["fields"]):
        if statement.if_column_missing:
            return
        raise DuplicateObject(f"{relation.name} has a column {definition.name} already")
    if definition.not_null:
        raise InvalidDefinition(
            "a column that is added cannot be NOT NULL: the rows that are there have no value",
            hint="add it without, and fill it",
        )
    last = int(metadata["last-column-id"])

    def fresh() -> int:
        nonlocal last
        last += 1
        return last

    field_id = fresh()
    kind, logical = iceberg_type(definition.type, fresh)
    field: Json = {"id": field_id, "name": definition.name, "required": False, "type": kind}
    if definition.comment is not None:
        field["doc"] = definition.comment
    schema["fields"].append(field)
    properties = {}
    if logical is not None:
        properties[f"{LOGICAL_TYPE_PROPERTY}{field_id}"] = logical
    if definition.default is not None:
        properties[f"{DEFAULT_PROPERTY}{field_id}"] = definition.default
    _set_schema(transaction, relation, schema, last, properties)


def _drop(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    metadata, schema = _schema(transaction, relation)
    try:
        field = _field(schema, statement.column[-1], relation)
    except UndefinedColumn:
        if statement.if_column_exists:
            return
        raise
    schema["fields"].remove(field)
    if not schema["fields"]:
        raise InvalidDefinition("a table has at least one column")
    known = metadata.get("properties") or {}
    gone = [
        key
        for key in (f"{LOGICAL_TYPE_PROPERTY}{field['id']}", f"{DEFAULT_PROPERTY}{field['id']}")
        if key in known
    ]
    _set_schema(transaction, relation, schema, metadata["last-column-id"], {}, gone)


def _rename_column(
    statement: s.AlterTable, relation: Relation, transaction: LakeTransaction
) -> None:
    assert statement.new_name is not None
    check_name(statement.new_name, "column name")
    metadata, schema = _schema(transaction, relation)
    field = _field(schema, statement.column[-1], relation)
    taken = any(
        fold(item["name"]) == fold(statement.new_name) and item is not field
        for item in schema["fields"]
    )
    if taken:
        raise DuplicateObject(f"{relation.name} has a column {statement.new_name} already")
    field["name"] = statement.new_name
    _set_schema(transaction, relation, schema, metadata["last-column-id"])


def _type(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    assert statement.type is not None
    metadata, schema = _schema(transaction, relation)
    field = _field(schema, statement.column[-1], relation)
    last = int(metadata["last-column-id"])

    def fresh() -> int:
        nonlocal last
        last += 1
        return last

    kind, logical = iceberg_type(statement.type, fresh)
    shown = next(c.type for c in relation.columns if c.field_id == field["id"])
    has_rows = metadata.get("current-snapshot-id") not in (None, -1)
    if has_rows and not may_become(shown, logical or duckdb_type(kind)):
        raise InvalidDefinition(
            f"{field['name']}: {shown} cannot become {statement.type}; not every value that is "
            "there would fit",
            hint="add a new column and fill it",
        )
    if not isinstance(kind, str) and kind != field["type"]:
        raise InvalidDefinition(
            "the type of a nested column cannot be changed", hint="add a new column"
        )
    field["type"] = kind
    key = f"{LOGICAL_TYPE_PROPERTY}{field['id']}"
    had = key in (metadata.get("properties") or {})
    properties = {} if logical is None else {key: logical}
    gone = [key] if logical is None and had else []
    _set_schema(transaction, relation, schema, metadata["last-column-id"], properties, gone)


def _set_not_null(
    statement: s.AlterTable, relation: Relation, transaction: LakeTransaction
) -> None:
    metadata, schema = _schema(transaction, relation)
    _field(schema, statement.column[-1], relation)["required"] = True
    if metadata.get("current-snapshot-id") not in (None, -1):
        raise InvalidDefinition(
            "a column of a table with rows cannot become NOT NULL: readers of older snapshots "
            "would break",
            hint="create a table with NOT NULL and insert the rows",
        )
    _set_schema(transaction, relation, schema, metadata["last-column-id"])


def _drop_not_null(
    statement: s.AlterTable, relation: Relation, transaction: LakeTransaction
) -> None:
    metadata, schema = _schema(transaction, relation)
    _field(schema, statement.column[-1], relation)["required"] = False
    _set_schema(transaction, relation, schema, metadata["last-column-id"])


def _set_default(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    _, schema = _schema(transaction, relation)
    key = f"{DEFAULT_PROPERTY}{_field(schema, statement.column[-1], relation)['id']}"
    set_table_properties(transaction, relation, {key: str(statement.value)})


def _drop_default(
    statement: s.AlterTable, relation: Relation, transaction: LakeTransaction
) -> None:
    _, schema = _schema(transaction, relation)
    key = f"{DEFAULT_PROPERTY}{_field(schema, statement.column[-1], relation)['id']}"
    set_table_properties(transaction, relation, {}, [key])


def _rename(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    assert statement.new_name is not None
    transaction.rename(
        relation.name, TableName(relation.name.schema, statement.new_name), relation.kind
    )


def _partition(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    _, schema = _schema(transaction, relation)
    spec = partition_spec(statement.items, schema)
    updates: list[Json] = [
        {"action": "add-spec", "spec": spec},
        {"action": "set-default-spec", "spec-id": -1},
    ]
    transaction.update_table(relation.id, [], updates)


def _sort(statement: s.AlterTable, relation: Relation, transaction: LakeTransaction) -> None:
    _, schema = _schema(transaction, relation)
    order = sort_order(statement.items, schema)
    updates: list[Json] = [
        {"action": "add-sort-order", "sort-order": order},
        {"action": "set-default-sort-order", "sort-order-id": -1},
    ]
    transaction.update_table(relation.id, [], updates)


def _set_properties(
    statement: s.AlterTable, relation: Relation, transaction: LakeTransaction
) -> None:
    set_table_properties(transaction, relation, user_properties(statement.properties))


def _reset_properties(
    statement: s.AlterTable, relation: Relation, transaction: LakeTransaction
) -> None:
    wanted = user_properties(tuple((key, "") for key in statement.items))
    set_table_properties(transaction, relation, {}, list(wanted))


_ACTIONS: dict[str, Callable[[s.AlterTable, Relation, LakeTransaction], None]] = {
    "ADD COLUMN": _add,
    "DROP COLUMN": _drop,
    "RENAME COLUMN": _rename_column,
    "TYPE": _type,
    "SET NOT NULL": _set_not_null,
    "DROP NOT NULL": _drop_not_null,
    "SET DEFAULT": _set_default,
    "DROP DEFAULT": _drop_default,
    "RENAME": _rename,
    "PARTITIONED BY": _partition,
    "SORTED BY": _sort,
    "SET PROPERTIES": _set_properties,
    "RESET PROPERTIES": _reset_properties,
}


def _schema(transaction: LakeTransaction, relation: Relation) -> tuple[Json, Json]:
    """The metadata, and a copy of the current schema that may be changed."""
    metadata, _ = transaction.load(relation.id)
    return metadata, copy.deepcopy(schema_by_id(metadata, metadata["current-schema-id"]))


def _field(schema: Json, name: str, relation: Relation) -> Json:
    for item in schema["fields"]:
        if fold(item["name"]) == fold(name):
            found: Json = item
            return found
    raise UndefinedColumn(f'column "{name}" of table {relation.name} does not exist')


def _set_schema(
    transaction: LakeTransaction,
    relation: Relation,
    schema: Json,
    last_column_id: int,
    properties: Mapping[str, str] | None = None,
    removals: Collection[str] = (),
) -> None:
    schema.pop("schema-id", None)
    updates: list[Json] = [
        {"action": "add-schema", "schema": schema, "last-column-id": last_column_id},
        {"action": "set-current-schema", "schema-id": -1},
    ]
    if properties:
        updates.append({"action": "set-properties", "updates": dict(properties)})
    if removals:
        updates.append({"action": "remove-properties", "removals": list(removals)})
    transaction.update_table(relation.id, [], updates)
