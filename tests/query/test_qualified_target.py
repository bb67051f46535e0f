"""The table that a statement changes may be named with its schema in expressions."""

from __future__ import annotations

import pytest

from actors import Actor


@pytest.fixture
def table(admin: Actor, schema: str) -> str:
    admin.run(f"CREATE OR REPLACE TABLE {schema}.t AS SELECT i AS id, i AS n FROM range(4) r(i)")
    return f"{schema}.t"


def test_in_an_update(admin: Actor, table: str) -> None:
    admin.run(
        f"UPDATE {table} SET n = {table}.n + 10 FROM (SELECT 2 AS k) s WHERE {table}.id = s.k"
    )
    assert admin.run(f"SELECT id, n FROM {table} ORDER BY id") == [(0, 0), (1, 1), (2, 12), (3, 3)]


def test_in_a_delete(admin: Actor, table: str) -> None:
    admin.run(f"DELETE FROM {table} WHERE lake.{table}.id >= 2")
    assert admin.run(f"SELECT id FROM {table} ORDER BY id") == [(0,), (1,)]


def test_in_a_merge(admin: Actor, table: str) -> None:
    admin.run(
        f"MERGE INTO {table} USING (SELECT 1 AS k) s ON {table}.id = s.k "
        f"WHEN MATCHED THEN UPDATE SET n = {table}.n * 100"
    )
    assert admin.run(f"SELECT n FROM {table} WHERE id = 1") == [(100,)]
