"""A platform whose tables are on S3 (SeaweedFS): everything that one in a folder can do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog.rest import RestCatalog

from lakehold.app import Platform
from lakehold.client import Connection, connect
from lakehold.settings import Settings
from seaweedfs import credentials, new_warehouse


@pytest.fixture
def platform_on_s3(tmp_path: Path, conninfo: str) -> Iterator[Platform]:
    found = credentials()
    settings = Settings(
        dir=tmp_path / "lake",
        postgres_dsn=conninfo,
        http_port=0,
        memory="1GB",
        warehouse=new_warehouse(),
        s3_region=found.region,
        s3_endpoint=found.endpoint or "",
        s3_key_id=found.access_key_id or "",
        s3_secret=found.secret_access_key or "",
        s3_vend_credentials=True,
    )
    with Platform(settings) as started:
        yield started


@pytest.fixture
def token(platform_on_s3: Platform) -> str:
    access = platform_on_s3.parts.access
    return access.create_token("admin", name="t", expires_in=None, by=access.principal("admin"))


@pytest.fixture
def db(platform_on_s3: Platform, token: str) -> Iterator[Connection]:
    with connect(platform_on_s3.url, token) as opened:
        opened.execute("CREATE SCHEMA s")
        opened.execute("USE s")
        yield opened


def test_tables_on_s3_are_written_read_and_kept_in_versions(db: Connection) -> None:
    db.execute("CREATE TABLE t (id BIGINT, day DATE) PARTITIONED BY (month(day))")
    db.execute("INSERT INTO t SELECT range, DATE '2026-01-01' + range::INTEGER FROM range(100)")
    first = db.execute("SELECT snapshot_id FROM lakehold.snapshots WHERE is_current").fetchone()
    assert first is not None
    assert db.execute("UPDATE t SET id = -id WHERE id < 10").rowcount == 10
    assert db.execute("DELETE FROM t WHERE id >= 50").rowcount == 50
    assert db.execute("SELECT count(*), sum(id) FROM t").fetchone() == (50, 1135)
    assert db.execute(f"SELECT sum(id) FROM t AT (VERSION => {first[0]})").fetchone() == (4950,)
    db.execute("CREATE OR REPLACE TABLE t AS SELECT id FROM t WHERE id > 0")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (40,)


def test_a_transaction_on_s3_is_all_or_nothing(db: Connection) -> None:
    db.execute("CREATE TABLE a (id BIGINT)")
    db.execute("BEGIN")
    db.execute("INSERT INTO a VALUES (1)")
    db.execute("CREATE TABLE b AS SELECT * FROM a")
    db.rollback()
    assert db.execute("SELECT count(*) FROM a").fetchone() == (0,)
    assert [row[0] for row in db.execute("SHOW TABLES").fetchall()] == ["a"]


def test_an_outside_engine_is_handed_the_way_to_the_files(
    platform_on_s3: Platform, token: str, db: Connection
) -> None:
    db.execute("CREATE TABLE t (id BIGINT)")
    catalog = RestCatalog(
        "lake", uri=f"{platform_on_s3.url}/iceberg", warehouse="lake", token=token
    )
    table = catalog.load_table("s.t")
    table.append(pa.table({"id": [1, 2, 3]}))
    assert table.scan().to_arrow().num_rows == 3
    assert db.execute("SELECT sum(id) FROM t").fetchone() == (6,)
