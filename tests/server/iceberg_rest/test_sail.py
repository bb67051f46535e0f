"""Sail, a Spark Connect server, reading and writing the same tables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lake_server import LakeServer

pytest.importorskip("pyspark.sql.connect", reason="needs pyspark-client")

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession


@pytest.fixture(scope="session")
def reader_token(lake: LakeServer) -> str:
    """A token that may read the tables of ``sail_shared`` and no others."""
    lake.sql("CREATE SCHEMA sail_shared")
    lake.sql("CREATE SCHEMA sail_hidden")
    lake.sql("CREATE TABLE sail_shared.t (id INTEGER, name VARCHAR)")
    lake.sql("INSERT INTO sail_shared.t VALUES (1, 'a'), (2, 'b')")
    lake.sql("CREATE TABLE sail_hidden.t (id INTEGER)")
    lake.sql("INSERT INTO sail_hidden.t VALUES (1)")
    return lake.principal("USAGE ON SCHEMA sail_shared", "SELECT ON SCHEMA sail_shared")


@pytest.fixture(scope="session", params=["local", "local-cluster"])
def spark(
    lake: LakeServer, reader_token: str, request: pytest.FixtureRequest
) -> Iterator[SparkSession]:
    """A session on a Sail server with two catalogs: an administrator's and a reader's."""
    catalogs = ", ".join(
        f'{{name="{name}", type="iceberg-rest", uri="{lake.iceberg}", '
        f'bearer_access_token="{token}"}}'
        for name, token in (("lake", lake.admin_token), ("reader", reader_token))
    )
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "sail.py")],
        env={
            **os.environ,
            "SAIL_CATALOG__LIST": f"[{catalogs}]",
            "SAIL_CATALOG__DEFAULT_CATALOG": "lake",
            "SAIL_MODE": request.param,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        session = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").create()
        yield session
        session.stop()
    finally:
        process.kill()
        process.wait()


def rows(spark: SparkSession, text: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in spark.sql(text).collect()]


def test_sail_writes_and_sql_reads(lake: LakeServer, spark: SparkSession, namespace: str) -> None:
    spark.sql(f"CREATE TABLE lake.{namespace}.t (id BIGINT, name STRING) USING iceberg")
    spark.sql(f"INSERT INTO lake.{namespace}.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    assert rows(spark, f"SELECT * FROM lake.{namespace}.t ORDER BY id") == [
        (1, "a"),
        (2, "b"),
        (3, "c"),
    ]
    spark.sql(f"DELETE FROM lake.{namespace}.t WHERE id = 2")
    assert lake.sql(f"SELECT id FROM {namespace}.t ORDER BY id") == [(1,), (3,)]


def test_sail_reads_the_position_deletes_of_sql(
    lake: LakeServer, spark: SparkSession, namespace: str
) -> None:
    lake.sql(f"CREATE TABLE {namespace}.t (id INTEGER, name VARCHAR)")
    lake.sql(f"INSERT INTO {namespace}.t SELECT range, 'x' FROM range(1000)")
    lake.sql(f"DELETE FROM {namespace}.t WHERE id % 2 = 0")
    lake.sql(f"UPDATE {namespace}.t SET name = 'y' WHERE id < 10")
    found = rows(spark, f"SELECT count(*), sum(id) FROM lake.{namespace}.t")
    assert found == [(500, 250_000)]
    assert rows(spark, f"SELECT count(*) FROM lake.{namespace}.t WHERE name = 'y'") == [(5,)]


def test_grants_hold_for_sail(lake: LakeServer, spark: SparkSession) -> None:
    assert rows(spark, "SELECT count(*) FROM reader.sail_shared.t")[0][0] >= 2
    with pytest.raises(PySparkException):
        rows(spark, "SELECT count(*) FROM reader.sail_hidden.t")
    before = lake.sql("SELECT count(*) FROM sail_shared.t")
    with pytest.raises(PySparkException):
        spark.sql("INSERT INTO reader.sail_shared.t VALUES (9, 'z')").collect()
    assert lake.sql("SELECT count(*) FROM sail_shared.t") == before
