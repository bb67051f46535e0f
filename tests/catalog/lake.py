"""Small helpers of the catalog's tests: tables to make, and PyIceberg as a writer of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pyarrow as pa
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadataUtil

from lakehold.catalog import Catalog, LakeTransaction, Relation
from lakehold.names import TableName
from lakehold.state import Database

NUMBERS: dict[str, Any] = {
    "type": "struct",
    "schema-id": 0,
    "fields": [
        {"id": 1, "name": "x", "type": "long", "required": False},
        {"id": 2, "name": "note", "type": "string", "required": False, "doc": "a remark"},
    ],
}


def name(text: str) -> TableName:
    """``schema.table`` or ``table`` in the schema main."""
    schema, _, table = text.rpartition(".")
    return TableName(schema or "main", table)


def create(catalog: Catalog, text: str, **options: Any) -> Relation:
    """Make a table of numbers, in its own transaction."""
    transaction = catalog.begin()
    relation = transaction.create_table(name(text), NUMBERS, **options)
    transaction.commit()
    return relation


def find(catalog: Catalog, database: Database, text: str) -> Relation | None:
    """The relation of that name as everybody sees it."""
    with database.transaction(read_only=True) as conn:
        return catalog.resolve(conn, [name(text)]).get(name(text))


def set_property(transaction: LakeTransaction, table_id: UUID, key: str, value: str) -> None:
    """The smallest commit that there is."""
    transaction.update_table(table_id, [], [{"action": "set-properties", "updates": {key: value}}])


class _Committing(NoopCatalog):
    """PyIceberg's side of a commit, into a lake transaction."""

    def __init__(self, transaction: LakeTransaction, table_id: UUID) -> None:
        super().__init__("lake")
        self._transaction = transaction
        self._table_id = table_id

    def commit_table(
        self, table: Table, requirements: tuple[Any, ...], updates: tuple[Any, ...]
    ) -> CommitTableResponse:
        metadata, location = self._transaction.update_table(
            self._table_id,
            [item.model_dump(mode="json", by_alias=True) for item in requirements],
            [item.model_dump(mode="json", by_alias=True, exclude_none=True) for item in updates],
        )
        return CommitTableResponse.model_validate(
            {"metadata": TableMetadataUtil.parse_obj(metadata), "metadata-location": location}
        )


def opened(transaction: LakeTransaction, table_id: UUID, **properties: str) -> Table:
    """A table as PyIceberg reads and writes it within a transaction."""
    metadata, location = transaction.load(table_id)
    return Table(
        ("main", "t"),
        TableMetadataUtil.parse_obj(metadata),
        location,
        PyArrowFileIO(properties),
        _Committing(transaction, table_id),
    )


def rows(count: int, start: int = 0) -> pa.Table:
    """Rows for a table of numbers."""
    numbers = range(start, start + count)
    return pa.table(
        {
            "x": pa.array(numbers, pa.int64()),
            "note": pa.array([f"number {n}" for n in numbers], pa.string()),
        }
    )


def append(catalog: Catalog, table_id: UUID, count: int, start: int = 0) -> None:
    """Append rows in a transaction of their own."""
    transaction = catalog.begin()
    transaction.lock([table_id])
    opened(transaction, table_id).append(rows(count, start))
    transaction.commit()
