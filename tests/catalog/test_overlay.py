"""A lake transaction against a plain model of what it should do."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehold.catalog import Catalog, LakeTransaction, Savepoint
from lakehold.errors import (
    DuplicateSchema,
    DuplicateTable,
    LakeholdError,
    SchemaNotEmpty,
    UndefinedSchema,
    UndefinedTable,
)
from lakehold.names import TableName
from lakehold.state import Database
from tests.catalog.lake import NUMBERS, set_property

_runs = itertools.count()

schemas = st.sampled_from(["s1", "s2", "S2"])
tables = st.sampled_from(["a", "A", "b"])
names = st.tuples(schemas, tables)
operations = st.one_of(
    st.tuples(st.just("create schema"), schemas),
    st.tuples(st.just("drop schema"), schemas),
    st.tuples(st.just("create"), names),
    st.tuples(st.just("drop"), names),
    st.tuples(st.just("rename"), names, names),
    st.tuples(st.just("change"), names, st.integers(0, 9)),
    st.tuples(st.just("savepoint")),
    st.tuples(st.just("back")),
    st.tuples(st.just("commit")),
    st.tuples(st.just("rollback")),
)

Key = tuple[str, str]


@dataclass
class State:
    """Schemas by key, and tables by key: id and the value of their one property."""

    schemas: dict[str, str] = field(default_factory=dict)
    tables: dict[Key, tuple[UUID, str, str | None]] = field(default_factory=dict)

    def copy(self) -> State:
        return State(dict(self.schemas), dict(self.tables))


class Model:
    """What the catalog should say, computed from dictionaries."""

    def __init__(self) -> None:
        self.committed = State()
        self.now = State()
        self.saved: State | None = None

    def apply(self, operation: tuple[Any, ...]) -> type[LakeholdError] | None:
        """The error that is expected; the state is changed if there is none."""
        now, (kind, *arguments) = self.now, operation
        named = arguments if kind in ("create", "drop", "rename") else []
        keys = [(schema.lower(), table.lower()) for schema, table in named]
        if kind == "create schema":
            if arguments[0].lower() in now.schemas:
                return DuplicateSchema
            now.schemas[arguments[0].lower()] = arguments[0]
        elif kind == "drop schema":
            key = arguments[0].lower()
            if key not in now.schemas:
                return UndefinedSchema
            if any(schema == key for schema, _ in now.tables):
                return SchemaNotEmpty
            del now.schemas[key]
        elif kind == "create":
            if keys[0] in now.tables:
                return DuplicateTable
            if keys[0][0] not in now.schemas:
                return UndefinedSchema
        elif kind == "drop":
            if keys[0] not in now.tables:
                return UndefinedTable
            del now.tables[keys[0]]
        elif kind == "rename":
            if keys[0] not in now.tables:
                return UndefinedTable
            if keys[1][0] not in now.schemas:
                return UndefinedSchema
            if keys[1] in now.tables and keys[1] != keys[0]:
                return DuplicateTable
            table_id, _, value = now.tables.pop(keys[0])
            now.tables[keys[1]] = (table_id, arguments[1][1], value)
        return None


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(operations, max_size=25), snapshot=st.booleans())
def test_a_transaction_does_what_a_plain_model_does(
    catalog: Catalog, database: Database, steps: list[tuple[Any, ...]], snapshot: bool
) -> None:
    prefix = f"run{next(_runs)}."
    model = Model()
    transaction = catalog.begin(snapshot=snapshot)
    savepoint: Savepoint | None = None
    for step in steps:
        kind = step[0]
        if kind in ("commit", "rollback"):
            getattr(transaction, kind)()
            if kind == "commit":
                model.committed = model.now.copy()
            model.now, model.saved, savepoint = model.committed.copy(), None, None
            transaction = catalog.begin(snapshot=snapshot)
        elif kind == "savepoint":
            savepoint, model.saved = transaction.savepoint(), model.now.copy()
        elif kind == "back":
            if savepoint is not None and model.saved is not None:
                transaction.rollback_to(savepoint)
                model.now = model.saved.copy()
        else:
            _step(transaction, model, prefix, step)
        _compare(catalog, database, transaction, prefix, model.now)
        _compare(catalog, database, None, prefix, model.committed)
    transaction.rollback()


def _step(transaction: LakeTransaction, model: Model, prefix: str, step: tuple[Any, ...]) -> None:
    kind, *arguments = step
    if kind == "change":
        _change(transaction, model, prefix, *arguments)
        return
    expected = model.apply(step)
    try:
        if kind == "create schema":
            transaction.create_schema(prefix + arguments[0])
        elif kind == "drop schema":
            transaction.drop_schema(prefix + arguments[0])
        elif kind == "create":
            schema, table = arguments[0]
            made = transaction.create_table(TableName(prefix + schema, table), NUMBERS)
            model.now.tables[(schema.lower(), table.lower())] = (made.id, table, None)
        elif kind == "drop":
            transaction.drop(_name(prefix, arguments[0]))
        else:
            transaction.rename(_name(prefix, arguments[0]), _name(prefix, arguments[1]))
    except LakeholdError as error:
        assert type(error) is expected, step
    else:
        assert expected is None, step


def _change(transaction: LakeTransaction, model: Model, prefix: str, name: Key, value: int) -> None:
    found = transaction.find(_name(prefix, name))
    key = (name[0].lower(), name[1].lower())
    assert (found is not None) == (key in model.now.tables)
    if found is not None:
        set_property(transaction, found.id, "value", str(value))
        table_id, shown, _ = model.now.tables[key]
        model.now.tables[key] = (table_id, shown, str(value))


def _name(prefix: str, name: Key) -> TableName:
    return TableName(prefix + name[0], name[1])


def _compare(
    catalog: Catalog,
    database: Database,
    transaction: LakeTransaction | None,
    prefix: str,
    expected: State,
) -> None:
    with database.transaction(read_only=True) as conn:
        schemas = catalog.schemas(conn, transaction)
        mine = {s.id: s.name.removeprefix(prefix) for s in schemas if s.name.startswith(prefix)}
        relations = catalog.relations(conn, list(mine), transaction)
        asked = [TableName(prefix + s, t) for s, t in expected.tables]
        resolved = catalog.resolve(conn, asked, transaction=transaction)
    assert {name.lower(): name for name in mine.values()} == expected.schemas
    seen = {
        (mine[r.schema_id].lower(), r.name.table.lower()): (
            r.id,
            r.name.table,
            r.properties.get("value"),
        )
        for r in relations
    }
    assert seen == expected.tables
    assert {r.id for r in resolved.values()} == {i for i, _, _ in expected.tables.values()}
