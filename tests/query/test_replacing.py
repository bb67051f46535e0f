"""CREATE OR REPLACE TABLE … AS a query of the very table that it replaces."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from lakehold.app import Platform
from lakehold.client import Connection, NotSupportedError, connect


@pytest.fixture
def db(platform: Platform, request: pytest.FixtureRequest) -> Iterator[Connection]:
    access = platform.parts.access
    token = access.create_token("admin", name="t", expires_in=None, by=access.principal("admin"))
    name = f"replacing_{abs(hash(request.node.name))}"
    with connect(platform.url, token) as opened:
        opened.execute(f"CREATE SCHEMA {name}")
        opened.execute(f"USE {name}")
        opened.execute("CREATE TABLE t AS SELECT range AS a FROM range(10)")
        yield opened


def test_a_replaced_table_is_read_as_it_was(db: Connection) -> None:
    assert db.execute("CREATE OR REPLACE TABLE t AS SELECT * FROM t").rowcount == 10
    assert db.execute("SELECT sum(a) FROM t").fetchone() == (45,)


def test_its_columns_may_become_others(db: Connection) -> None:
    db.execute("CREATE OR REPLACE TABLE t AS SELECT a::VARCHAR AS b, 1 AS c FROM t WHERE a < 3")
    assert db.execute("SELECT * FROM t ORDER BY b").fetchall() == [("0", 1), ("1", 1), ("2", 1)]


def test_within_a_transaction_it_is_refused_and_nothing_is_lost(db: Connection) -> None:
    db.execute("BEGIN")
    with pytest.raises(NotSupportedError):
        db.execute("CREATE OR REPLACE TABLE t AS SELECT * FROM t")
    db.rollback()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (10,)


def test_rows_that_others_insert_meanwhile_are_not_lost(db: Connection) -> None:
    schema = db.execute("SELECT current_schema()").fetchone()

    def insert() -> None:
        with connect(db.url, db._transport._http.headers["Authorization"][7:]) as other:
            for _ in range(5):
                other.execute(f"INSERT INTO {schema[0]}.t VALUES (100)")

    thread = threading.Thread(target=insert)
    thread.start()
    for _ in range(5):
        db.execute("CREATE OR REPLACE TABLE t AS SELECT * FROM t")
    thread.join()
    assert db.execute("SELECT count(*) FROM t").fetchone() == (15,)
