"""The embedded engine's own commits: its files are read, synced, kept and swept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from lakehold.catalog import Catalog, Relation, WriteBindings
from lakehold.engines.duckdb import DuckDBEngine, EngineLimits
from lakehold.server.engine_port import EnginePort
from lakehold.state import Database
from lakehold.storage import ObjectStore
from tests.catalog.lake import create, find


class Writer:
    """Writes through the engine as the gateway does."""

    def __init__(self, catalog: Catalog, engine: DuckDBEngine, bindings: WriteBindings) -> None:
        self._catalog = catalog
        self._engine = engine
        self._bindings = bindings

    def run(self, table: Relation, sql: str, *, commit: bool = True) -> None:
        transaction = self._catalog.begin()
        transaction.lock([table.id])
        with self._engine.writer(30) as slot:
            self._bindings.bind(slot.token, transaction, frozenset({table.id}))
            try:
                target = f'{slot.catalog}.tables."{table.id}"'
                self._engine.run(sql.format(t=target)).start().rows()
            finally:
                self._bindings.unbind(slot.token)
        if commit:
            transaction.commit()
        else:
            transaction.rollback()

    def count(self, database: Database, text: str) -> int:
        found = find(self._catalog, database, text)
        assert found is not None
        sql = f"SELECT count(*) FROM iceberg_scan('{found.metadata_location}')"
        return int(self._engine.run(sql).start().rows()[0][0])


@pytest.fixture
def writer(catalog: Catalog, warehouse: Path, tmp_path: Path) -> Iterator[Writer]:
    engine = DuckDBEngine(
        EngineLimits(memory="1GB", threads=2, writers=3),
        temporary=tmp_path / "spill",
        allowed=[str(warehouse)],
    )
    bindings = WriteBindings()
    port = EnginePort(bindings, [slot.token for slot in engine.slots])
    port.start()
    engine.attach(port.endpoint)
    yield Writer(catalog, engine, bindings)
    engine.close()
    port.stop()


def test_what_duckdb_writes_is_committed_and_nothing_of_it_is_swept(
    catalog: Catalog, database: Database, store: ObjectStore, writer: Writer
) -> None:
    table = create(catalog, "t")
    writer.run(table, "INSERT INTO {t} SELECT i, 'n' || i FROM range(100) AS r (i)")
    writer.run(table, "UPDATE {t} SET note = 'changed' WHERE x < 10")
    writer.run(table, "DELETE FROM {t} WHERE x >= 90")
    writer.run(table, "INSERT INTO {t} VALUES (1000, 'lost')", commit=False)
    lost = time.time() - timedelta(days=10).total_seconds()
    for item in store.list(store.root):
        os.utime(item.location, (lost, lost))
    report = catalog.sweep()
    assert report.skipped == ()
    assert report.files == 3, "the data file, manifest and list of the commit that was not made"
    assert catalog.sweep().files == 0
    assert writer.count(database, "t") == 90


def test_queued_writers_lose_no_row(catalog: Catalog, database: Database, writer: Writer) -> None:
    table = create(catalog, "t")

    def insert(number: int) -> None:
        for _ in range(10):
            writer.run(table, f"INSERT INTO {{t}} VALUES ({number}, 'x')")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(insert, range(8)))
    assert writer.count(database, "t") == 80
    found = find(catalog, database, "t")
    assert found is not None
    assert found.version == 1
