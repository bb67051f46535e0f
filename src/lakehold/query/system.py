"""Relations of the platform itself: ``information_schema`` and ``lakehold``.

Made from the catalog for one statement, with just what the session may know of, and handed
to the engine as Arrow. They are read like any table; nobody writes in them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import UUID

import pyarrow as pa

from lakehold.audit import Ledger
from lakehold.catalog import Relation
from lakehold.errors import PermissionDenied, UndefinedTable
from lakehold.names import CATALOG, TableName
from lakehold.policy import SYSTEM_SCHEMA_ID, ObjectKind, Privilege, Target
from lakehold.query.tree import fold

if TYPE_CHECKING:
    from lakehold.query.scope import Scope

Data: TypeAlias = pa.Table | pa.RecordBatchReader

LEDGER_ID = UUID("00000000-0000-0000-0000-00000000000b")
"""The identity under which the ledger is granted."""

LEDGER = TableName("lakehold", "ledger")

Statements = Callable[["Scope"], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class SystemRelation:
    """A platform's relation in one statement: its name in the engine and its rows."""

    key: str
    data: Data


class SystemRelations:
    """The platform's relations that one statement uses.

    Args:
        ledger: read for ``lakehold.ledger``.
        statements: the running statements that a session may see.
    """

    def __init__(self, ledger: Ledger, statements: Statements) -> None:
        self._ledger = ledger
        self._statements = statements
        self._used: dict[str, SystemRelation] = {}

    @property
    def data(self) -> Mapping[str, Data]:
        """What the engine must be given, by name."""
        return {item.key: item.data for item in self._used.values()}

    def use(self, name: TableName, scope: Scope) -> SystemRelation:
        """The relation of a name, made for the session of ``scope``.

        Raises:
            UndefinedTable: if there is none of that name.
            PermissionDenied: for the ledger, without a grant.
        """
        make = _RELATIONS.get((fold(name.schema), fold(name.table)))
        if make is None:
            known = sorted(f"{schema}.{table}" for schema, table in _RELATIONS)
            raise UndefinedTable(
                f"table {name} does not exist", hint=f"the platform has {', '.join(known)}"
            )
        text = "__relation_" + secrets.token_hex(6)
        used = SystemRelation(text, make(self, scope))
        self._used[text] = used
        return used

    # --- information_schema (ISO/IEC 9075-11) ---

    def schemata(self, scope: Scope) -> Data:
        rows = [
            (CATALOG, item.name, item.properties.get("comment"))
            for item in scope.catalog.schemas(scope.connection, transaction=scope.transaction)
            if scope.sees(Target(ObjectKind.SCHEMA, item.id, item.id))
        ]
        return _table(rows, catalog_name=pa.string(), schema_name=pa.string(), comment=pa.string())

    def tables(self, scope: Scope) -> Data:
        rows = [
            (CATALOG, item.name.schema, item.name.table, _TABLE_TYPE[item.kind], item.comment)
            for item in scope.visible_relations()
        ]
        return _table(
            rows,
            table_catalog=pa.string(),
            table_schema=pa.string(),
            table_name=pa.string(),
            table_type=pa.string(),
            table_comment=pa.string(),
        )

    def columns(self, scope: Scope) -> Data:
        rows = [
            (
                CATALOG,
                item.name.schema,
                item.name.table,
                column.name,
                place,
                column.default,
                "NO" if column.required else "YES",
                column.type,
                column.comment,
            )
            for item in scope.visible_relations()
            for place, column in enumerate(known_columns(item, scope), start=1)
        ]
        return _table(
            rows,
            table_catalog=pa.string(),
            table_schema=pa.string(),
            table_name=pa.string(),
            column_name=pa.string(),
            ordinal_position=pa.int32(),
            column_default=pa.string(),
            is_nullable=pa.string(),
            data_type=pa.string(),
            column_comment=pa.string(),
        )

    def views(self, scope: Scope) -> Data:
        rows = []
        for item in scope.visible_relations():
            if item.view is None:
                continue
            target = Target(ObjectKind.VIEW, item.id, item.schema_id)
            own = scope.decide(Privilege.OWNERSHIP, target).allowed
            rows.append(
                (
                    CATALOG,
                    item.name.schema,
                    item.name.table,
                    item.view.sql if own or item.view.rights == "invoker" else None,
                    item.view.rights.upper(),
                )
            )
        return _table(
            rows,
            table_catalog=pa.string(),
            table_schema=pa.string(),
            table_name=pa.string(),
            view_definition=pa.string(),
            security_type=pa.string(),
        )

    # --- lakehold ---

    def snapshots(self, scope: Scope) -> Data:
        """The history of every table that the session may read (Iceberg spec: snapshots)."""
        rows = []
        for item in scope.visible_relations():
            if item.kind != "table" or not scope.decision(item, Privilege.SELECT).allowed:
                continue
            metadata = scope.catalog.metadata(item.metadata_location)
            present = metadata.get("current-snapshot-id")
            for snapshot in metadata.get("snapshots", []):
                summary = snapshot.get("summary", {})
                rows.append(
                    (
                        item.name.schema,
                        item.name.table,
                        snapshot["snapshot-id"],
                        snapshot.get("parent-snapshot-id"),
                        snapshot["timestamp-ms"],
                        summary.get("operation"),
                        _number(summary.get("added-records")),
                        _number(summary.get("deleted-records")),
                        _number(summary.get("total-records")),
                        snapshot["snapshot-id"] == present,
                    )
                )
        return _table(
            rows,
            table_schema=pa.string(),
            table_name=pa.string(),
            snapshot_id=pa.int64(),
            parent_id=pa.int64(),
            committed_at=pa.timestamp("ms", tz="UTC"),
            operation=pa.string(),
            added_rows=pa.int64(),
            deleted_rows=pa.int64(),
            total_rows=pa.int64(),
            is_current=pa.bool_(),
        )

    def running(self, scope: Scope) -> Data:
        rows = self._statements(scope)
        names = ("statement_id", "principal", "state", "started_at", "statement")
        return _table(
            [tuple(row[name] for name in names) for row in rows],
            statement_id=pa.string(),
            principal=pa.string(),
            state=pa.string(),
            started_at=pa.timestamp("us", tz="UTC"),
            statement=pa.string(),
        )

    def ledger(self, scope: Scope) -> Data:
        target = Target(ObjectKind.TABLE, LEDGER_ID, SYSTEM_SCHEMA_ID)
        if not scope.decide(Privilege.SELECT, target).allowed:
            raise PermissionDenied(
                "SELECT on lakehold.ledger is not granted",
                hint="an administrator can: GRANT SELECT ON TABLE lakehold.ledger TO ROLE …",
            )
        return self._ledger.read()


def known_columns(relation: Relation, scope: Scope) -> tuple[Any, ...]:
    """The columns of a relation that a session may know of: those on which it has any right."""
    names = scope.known_columns(relation)
    return tuple(column for column in relation.columns if column.name in names)


_TABLE_TYPE = {"table": "BASE TABLE", "view": "VIEW"}

_RELATIONS: dict[tuple[str, str], Callable[[SystemRelations, Scope], Data]] = {
    ("information_schema", "schemata"): SystemRelations.schemata,
    ("information_schema", "tables"): SystemRelations.tables,
    ("information_schema", "columns"): SystemRelations.columns,
    ("information_schema", "views"): SystemRelations.views,
    ("lakehold", "snapshots"): SystemRelations.snapshots,
    ("lakehold", "statements"): SystemRelations.running,
    ("lakehold", "ledger"): SystemRelations.ledger,
}


def _number(value: object) -> int | None:
    return int(str(value)) if value is not None else None


def _table(rows: list[tuple[Any, ...]], **columns: pa.DataType) -> pa.Table:
    values = list(zip(*rows, strict=True)) if rows else [()] * len(columns)
    return pa.table(
        [pa.array(list(value), kind) for value, kind in zip(values, columns.values(), strict=True)],
        names=list(columns),
    )
