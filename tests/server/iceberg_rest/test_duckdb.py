"""DuckDB from outside, with its iceberg extension and a token."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from lake_server import LakeServer
from lakehold.engines.duckdb.engine import EXTENSIONS, extension_path


def attach(lake: LakeServer, token: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    for name in EXTENSIONS:
        connection.execute(f"LOAD '{extension_path(name)}'")
    connection.execute(
        f"ATTACH 'lake' AS lake (TYPE iceberg, ENDPOINT '{lake.iceberg}', TOKEN '{token}')"
    )
    return connection


@pytest.fixture
def outside(lake: LakeServer) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of an administrator's."""
    connection = attach(lake, lake.admin_token)
    yield connection
    connection.close()


def test_duckdb_reads_and_writes(
    lake: LakeServer, outside: duckdb.DuckDBPyConnection, namespace: str
) -> None:
    table = f"lake.{namespace}.t"
    outside.execute(f"CREATE TABLE {table} (id INTEGER, name VARCHAR)")
    outside.execute(f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    outside.execute(f"UPDATE {table} SET name = 'bb' WHERE id = 2")
    outside.execute(f"DELETE FROM {table} WHERE id = 1")
    outside.execute(
        f"MERGE INTO {table} t USING (VALUES (3, 'cc'), (4, 'd')) s(id, name) ON t.id = s.id "
        "WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT"
    )
    outside.execute(f"ALTER TABLE {table} ADD COLUMN more BIGINT")
    outside.execute(f"INSERT INTO {table} VALUES (5, 'e', 50)")
    expected = [(2, "bb", None), (3, "cc", None), (4, "d", None), (5, "e", 50)]
    assert outside.execute(f"FROM {table} ORDER BY id").fetchall() == expected
    assert lake.sql(f"SELECT * FROM {namespace}.t ORDER BY id") == expected


def test_a_table_and_its_rows_are_made_at_once(
    lake: LakeServer, outside: duckdb.DuckDBPyConnection, namespace: str
) -> None:
    outside.execute(f"CREATE TABLE lake.{namespace}.t AS SELECT range AS id FROM range(100)")
    assert lake.sql(f"SELECT sum(id) FROM {namespace}.t") == [(4950,)]


def test_a_rolled_back_transaction_leaves_nothing(
    lake: LakeServer, outside: duckdb.DuckDBPyConnection, namespace: str
) -> None:
    lake.sql(f"CREATE TABLE {namespace}.t (id INTEGER)")
    outside.execute("BEGIN")
    outside.execute(f"INSERT INTO lake.{namespace}.t VALUES (1)")
    outside.execute("ROLLBACK")
    assert lake.sql(f"SELECT count(*) FROM {namespace}.t") == [(0,)]


def test_several_tables_change_in_one_transaction(
    lake: LakeServer, outside: duckdb.DuckDBPyConnection, namespace: str
) -> None:
    for name in ("a", "b"):
        lake.sql(f"CREATE TABLE {namespace}.{name} (id INTEGER)")
    outside.execute("BEGIN")
    outside.execute(f"INSERT INTO lake.{namespace}.a VALUES (1)")
    outside.execute(f"INSERT INTO lake.{namespace}.b VALUES (2)")
    assert lake.sql(f"SELECT count(*) FROM {namespace}.a") == [(0,)]
    outside.execute("COMMIT")
    assert lake.sql(f"SELECT a.id, b.id FROM {namespace}.a, {namespace}.b") == [(1, 2)]


def test_duckdb_reads_what_sql_wrote(
    lake: LakeServer, outside: duckdb.DuckDBPyConnection, namespace: str
) -> None:
    lake.sql(f"CREATE TABLE {namespace}.t (id INTEGER, at TIMESTAMP) PARTITIONED BY (day(at))")
    lake.sql(f"INSERT INTO {namespace}.t VALUES (1, '2020-01-01'), (2, '2020-01-02')")
    lake.sql(f"DELETE FROM {namespace}.t WHERE id = 1")
    assert outside.execute(f"SELECT id FROM lake.{namespace}.t").fetchall() == [(2,)]


def test_grants_hold_for_duckdb(lake: LakeServer, namespace: str) -> None:
    lake.sql(f"CREATE TABLE {namespace}.t (id INTEGER, secret INTEGER)")
    lake.sql(f"INSERT INTO {namespace}.t VALUES (1, 2)")
    reader = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {namespace}.t")
    connection = attach(lake, reader)
    assert connection.execute(f"FROM lake.{namespace}.t").fetchall() == [(1, 2)]
    with pytest.raises(duckdb.Error, match="403|Forbidden"):
        connection.execute(f"INSERT INTO lake.{namespace}.t VALUES (3, 4)")
    partial = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT (id) ON TABLE {namespace}.t")
    with pytest.raises(duckdb.Error, match="Forbidden"):
        attach(lake, partial).execute(f"SELECT id FROM lake.{namespace}.t")
    with pytest.raises(duckdb.Error, match="does not exist"):
        attach(lake, lake.principal()).execute(f"SELECT id FROM lake.{namespace}.t")
