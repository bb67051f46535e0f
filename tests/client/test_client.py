"""The Python client against a real server."""

from __future__ import annotations

import datetime
import threading
import time
from decimal import Decimal
from uuid import UUID, uuid4

import pyarrow as pa
import pytest

from lakehold import client
from lakehold.client import connect
from serving import eventually


@pytest.fixture
def db(platform, admin_token, schema):
    with connect(platform.url, admin_token, schema=schema) as opened:
        yield opened


def test_the_module_is_what_pep_249_asks_for():
    assert (client.apilevel, client.paramstyle, client.threadsafety) == (
        "2.0",
        "qmark",
        1,
    )
    assert issubclass(client.ProgrammingError, client.DatabaseError)
    assert issubclass(client.DatabaseError, client.Error)
    for name in (
        "Date",
        "Time",
        "Timestamp",
        "Binary",
        "STRING",
        "NUMBER",
        "DATETIME",
        "ROWID",
    ):
        assert hasattr(client, name)


def test_every_value_comes_back_as_it_was_bound(db):
    values = [
        1,
        2**63 - 1,
        1.5,
        True,
        None,
        "é'\"",
        b"\x00\xff",
        Decimal("123.4500"),
        datetime.date(2020, 2, 29),
        datetime.datetime(2020, 1, 2, 3, 4, 5, 678),
        datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        datetime.time(1, 2, 3, 4),
        datetime.timedelta(days=2, seconds=3, microseconds=4),
        uuid4(),
        [1, 2],
    ]
    row = db.execute(f"SELECT {', '.join('?' * len(values))}", values).fetchone()
    assert list(row) == values
    assert isinstance(row[13], UUID)


def test_a_cursor_describes_and_fetches(db):
    cursor = db.execute("SELECT range AS n, 'x' AS s FROM range(10) ORDER BY 1")
    assert [item[0] for item in cursor.description] == ["n", "s"]
    assert cursor.description[0][1] == client.NUMBER
    assert cursor.description[1][1] == client.STRING
    assert cursor.fetchone() == (0, "x")
    assert cursor.fetchmany(3) == [(1, "x"), (2, "x"), (3, "x")]
    assert [row[0] for row in cursor] == [4, 5, 6, 7, 8, 9]
    assert cursor.fetchone() is None
    assert cursor.fetchall() == []
    assert cursor.rowcount == 10


def test_changes_are_counted(db):
    db.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
    assert db.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y')").rowcount == 2
    assert db.execute("UPDATE t SET b = 'z' WHERE a = 2").rowcount == 1
    assert db.execute("DELETE FROM t").rowcount == 2


def test_executemany_inserts_every_row(db):
    db.execute("CREATE TABLE t (a INTEGER, b VARCHAR)")
    cursor = db.executemany("INSERT INTO t VALUES (?, ?)", [(i, str(i)) for i in range(5000)])
    assert cursor.rowcount == 5000
    assert db.execute("SELECT count(*), sum(a), max(b) FROM t").fetchone() == (
        5000,
        12497500,
        "999",
    )


def test_a_statement_without_rows_has_nothing_to_fetch(db):
    cursor = db.execute("CREATE TABLE t (a INTEGER)")
    with pytest.raises(client.InterfaceError):
        cursor.fetchone()


def test_several_results_are_open_at_once(db):
    first = db.execute("SELECT range FROM range(1000000)")
    second = db.execute("SELECT range FROM range(5)")
    assert first.fetchone() == (0,)
    assert len(second.fetchall()) == 5
    assert first.fetchone() == (1,)
    first.close()


def test_arrow_polars_and_pandas(db):
    sql = "SELECT range AS n, uuid() AS u FROM range(3)"
    assert db.arrow(sql).num_rows == 3
    assert db.polars(sql).shape == (3, 2)
    assert list(db.pandas(sql)["n"]) == [0, 1, 2]
    assert sum(batch.num_rows for batch in db.batches("SELECT 1 FROM range(300000)")) == 300_000


@pytest.mark.parametrize("kind", ["table", "reader", "pandas", "polars"])
def test_load_writes_arrow_and_data_frames(db, kind):
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    data = {
        "table": lambda: table,
        "reader": table.to_reader,
        "pandas": table.to_pandas,
        "polars": lambda: __import__("polars").from_arrow(table),
    }[kind]
    assert db.load("loaded", data(), mode="create") == 3
    assert db.load("loaded", data()) == 3
    assert db.execute("SELECT count(*), count(b) FROM loaded").fetchone() == (6, 4)


def test_errors_carry_what_the_server_says(db):
    with pytest.raises(client.ProgrammingError) as wrong:
        db.execute("SELECT nope FROM range(1)")
    assert wrong.value.sqlstate == "42703"
    assert wrong.value.position == 8
    assert wrong.value.statement_id
    with pytest.raises(client.ProgrammingError) as missing:
        db.execute("SELECT * FROM nope.nope")
    assert missing.value.sqlstate == "42P01"
    with pytest.raises(client.DataError):
        db.execute("SELECT CAST('x' AS INTEGER)").fetchall()


def test_a_result_that_is_cut_off_raises_the_real_error(db):
    sql = (
        "SELECT CASE WHEN range = 2900000 THEN CAST('x' || range AS INTEGER) ELSE range END "
        "FROM range(3000000)"
    )
    with pytest.raises(client.DataError):
        db.arrow(sql)


def test_a_bad_token_is_refused_at_once(platform):
    with pytest.raises(client.OperationalError) as refused:
        connect(platform.url, "lh_nope")
    assert refused.value.sqlstate == "28000"
    assert "lh_nope" not in str(refused.value)


def test_a_server_that_is_not_there_is_a_clear_error():
    with pytest.raises(client.OperationalError, match="cannot reach"):
        connect("http://127.0.0.1:1", "lh_x")


def test_a_transaction_is_committed_or_rolled_back(platform, admin_token, schema):
    with connect(platform.url, admin_token, schema=schema) as db:
        db.execute("CREATE TABLE t (a INTEGER)")
    with connect(platform.url, admin_token, schema=schema, autocommit=False) as db:
        db.execute("INSERT INTO t VALUES (1)")
        assert db.in_transaction
        db.rollback()
        db.execute("INSERT INTO t VALUES (2)")
        db.commit()
        assert not db.in_transaction
    with connect(platform.url, admin_token, schema=schema) as db:
        assert db.execute("SELECT a FROM t").fetchall() == [(2,)]


def test_cancel_from_another_thread(db):
    cursor = db.cursor()
    statement_id = uuid4()
    threading.Timer(0.7, lambda: db.cancel(statement_id)).start()
    started = time.monotonic()
    with (
        pytest.raises(client.OperationalError) as cancelled,
        db.stream(
            "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b",
            statement_id=statement_id,
        ) as statement,
    ):
        statement.stream.reader().read_all()
    assert cancelled.value.sqlstate == "57014"
    assert time.monotonic() - started < 10
    cursor.close()


def test_use_after_close_is_an_interface_error(platform, admin_token):
    db = connect(platform.url, admin_token)
    cursor = db.cursor()
    db.close()
    db.close()
    with pytest.raises(client.InterfaceError):
        cursor.execute("SELECT 1")


def test_closing_a_cursor_midway_leaves_no_statement(db, platform):
    cursor = db.execute("SELECT a.range, b.range FROM range(1000000) a, range(1000000) b")
    cursor.fetchone()
    cursor.close()
    eventually(lambda: not platform.gateway.statements_running.count)


def test_a_session_that_ended_is_opened_again_outside_of_a_transaction(db, platform):
    platform.gateway.close_session(UUID(db.session_id))
    assert db.execute("SELECT 1").fetchone() == (1,)
