"""Invariant 1, one door: every statement leaves exactly one ledger record, however it ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from actors import Actor, person
from lakehold.app import Platform
from lakehold.errors import (
    InvalidParameter,
    InvalidRequest,
    InvalidValue,
    LakeholdError,
    LedgerUnavailable,
    PermissionDenied,
    RequestTooLarge,
    StatementCancelled,
    StatementNotSupported,
    StatementTimeout,
    SyntaxInvalid,
    TransactionInvalid,
    UndefinedTable,
)
from serving import eventually

LONG = "SELECT count(*) FROM range(100_000_000_000) r(n) WHERE n % 7 = 3"
"""Runs for minutes."""

MANY = "SELECT n, repeat('x', 100) AS t FROM range(50_000_000) r(n)"
"""Gives rows for long."""


@pytest.fixture(scope="module")
def worker(admin: Actor, schema: str) -> Actor:
    """Somebody who may read and write one table."""
    admin.run(f"CREATE TABLE {schema}.work (id INTEGER NOT NULL)")
    admin.run(f"INSERT INTO {schema}.work VALUES (1)")
    admin.run(f"CREATE TABLE {schema}.shut (id INTEGER)")
    return person(
        admin,
        f"USAGE ON SCHEMA {schema}",
        f"SELECT ON TABLE {schema}.work",
        f"INSERT ON TABLE {schema}.work",
        schema=schema,
    )


@pytest.fixture
def statement_id() -> UUID:
    return uuid4()


@pytest.fixture(autouse=True)
def _nothing_stays_open(worker: Actor) -> Iterator[None]:
    yield
    eventually(lambda: worker.open_records() == 0)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM work",
        "INSERT INTO work VALUES (2)",
        "DESCRIBE work",
        "SHOW TABLES",
        "EXPLAIN SELECT * FROM work",
        "SELECT * FROM information_schema.tables",
        "PIVOT work ON id USING count(*)",
        "USE <s>",
        "BEGIN",
        "ROLLBACK",
    ],
)
def test_a_statement_that_ran(worker: Actor, schema: str, statement_id: UUID, sql: str) -> None:
    if sql == "ROLLBACK" and not worker.platform.gateway.in_transaction(worker.session):
        worker.run("BEGIN")
    worker.run(sql.replace("<s>", schema), statement_id=statement_id)
    if sql == "BEGIN":
        worker.run("ROLLBACK")
    assert worker.record_of(statement_id) == ["ok"]


@pytest.mark.parametrize(
    ("sql", "kind", "status"),
    [
        ("SELEC 1", SyntaxInvalid, "failed"),
        ("", SyntaxInvalid, "failed"),
        ("SELECT '\0'", InvalidRequest, "failed"),
        ("SELECT '\ud800'", InvalidRequest, "failed"),
        ("SELECT 1; SELECT 2", StatementNotSupported, "refused"),
        ("PRAGMA version", StatementNotSupported, "refused"),
        ("SELECT * FROM shut", UndefinedTable, "refused"),
        ("SELECT * FROM missing", UndefinedTable, "refused"),
        ("UPDATE work SET id = 3", PermissionDenied, "refused"),
        ("SELECT CAST('x' AS INTEGER)", InvalidValue, "failed"),
        ("SELECT CAST('x' || id AS INTEGER) FROM work", InvalidValue, "failed"),
        ("INSERT INTO work VALUES (NULL)", InvalidValue, "failed"),
        ("INSERT INTO work VALUES ('x')", InvalidValue, "failed"),
        ("COMMIT", TransactionInvalid, "failed"),
        ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, LakeholdError, None),
        ("SELECT '" + "x" * 5_000_000 + "'", RequestTooLarge, "failed"),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, str) else None,
)
def test_a_statement_that_failed_or_was_refused(
    worker: Actor, statement_id: UUID, sql: str, kind: type[LakeholdError], status: str | None
) -> None:
    with pytest.raises(kind):
        worker.run(sql, statement_id=statement_id)
    records = worker.record_of(statement_id)
    assert len(records) == 1
    assert status is None or records == [status]


def test_a_statement_with_wrong_parameters(worker: Actor, statement_id: UUID) -> None:
    with pytest.raises(InvalidParameter):
        worker.run("SELECT ?, ?", [1], statement_id=statement_id)
    assert worker.record_of(statement_id) == ["failed"]


def test_a_statement_with_an_impossible_timeout(worker: Actor, statement_id: UUID) -> None:
    with pytest.raises(InvalidRequest):
        worker.run("SELECT 1", statement_id=statement_id, timeout_s=-1)
    assert worker.record_of(statement_id) == ["failed"]


def test_a_statement_that_fails_after_rows_have_left(worker: Actor, statement_id: UUID) -> None:
    sql = "SELECT CASE WHEN n < 2_000_000 THEN n ELSE CAST('x' || n AS INTEGER) END FROM range(3_000_000) r(n)"
    with pytest.raises(InvalidValue):
        worker.run(sql, statement_id=statement_id)
    assert worker.record_of(statement_id) == ["failed"]


def test_a_statement_that_was_cancelled(worker: Actor, statement_id: UUID) -> None:
    gateway = worker.platform.gateway

    def cancel() -> None:
        time.sleep(0.3)
        gateway.cancel(worker.session.principal, statement_id)

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(StatementCancelled):
        worker.run(LONG, statement_id=statement_id)
    thread.join()
    assert worker.record_of(statement_id) == ["cancelled"]


def test_a_statement_that_timed_out(worker: Actor, statement_id: UUID) -> None:
    with pytest.raises(StatementTimeout):
        worker.run(LONG, statement_id=statement_id, timeout_s=0.3)
    assert worker.record_of(statement_id) == ["cancelled"]


def test_a_result_that_nobody_reads_to_its_end(worker: Actor, statement_id: UUID) -> None:
    result = worker.platform.gateway.execute(worker.session, MANY, statement_id=statement_id)
    batches = result.batches()
    next(batches)
    assert worker.record_of(statement_id) == []
    assert worker.open_records() == 1
    result.close()
    result.close()
    assert worker.record_of(statement_id) == ["cancelled"]


def test_a_client_that_vanishes_while_rows_stream(
    platform: Platform, worker: Actor, statement_id: UUID
) -> None:
    access = platform.parts.access
    token = access.create_token(
        worker.name, name="vanishing", expires_in=None, by=access.principal("admin")
    )
    headers = {
        "Authorization": f"Bearer {token}",
        "Lakehold-Statement-Id": str(statement_id),
        "Accept": "application/vnd.apache.arrow.stream",
    }
    with httpx.stream(
        "POST", f"{platform.url}/v1/sql", headers=headers, json={"sql": MANY}, timeout=30
    ) as answer:
        assert answer.status_code == 200
        next(answer.iter_bytes(1000))
    eventually(lambda: worker.record_of(statement_id) == ["cancelled"])


def test_a_statement_whose_id_was_used_before(worker: Actor, statement_id: UUID) -> None:
    worker.run("SELECT 1", statement_id=statement_id)
    with pytest.raises(InvalidRequest):
        worker.run("SELECT 2", statement_id=statement_id)
    assert sorted(worker.record_of(statement_id)) == ["failed", "ok"]


def test_each_statement_of_a_transaction_has_its_own(worker: Actor, schema: str) -> None:
    before = worker.records()
    worker.run("BEGIN")
    worker.run("INSERT INTO work VALUES (10)")
    with pytest.raises(UndefinedTable):
        worker.run("SELECT * FROM missing")
    with pytest.raises(TransactionInvalid):
        worker.run("SELECT 1")
    worker.run("ROLLBACK")
    assert worker.records()[len(before) :] == ["ok", "ok", "refused", "failed", "ok"]
    assert worker.run(f"SELECT count(*) FROM {schema}.work WHERE id = 10") == [(0,)]


def test_many_at_once_leave_one_each(worker: Actor) -> None:
    ids = [uuid4() for _ in range(24)]
    texts = ["SELECT count(*) FROM work", "SELECT * FROM shut", "INSERT INTO work VALUES (77)"]

    def run(number: int) -> None:
        try:
            worker.run(texts[number % 3], statement_id=ids[number])
        except LakeholdError:
            pass

    threads = [threading.Thread(target=run, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [worker.record_of(item) for item in ids] == [["ok"], ["refused"], ["ok"]] * 8


def test_nothing_runs_when_the_ledger_cannot_be_written(
    worker: Actor, postgres_of_platform: psycopg.Connection[tuple[object, ...]]
) -> None:
    """Invariant 10: the answer is an error, and no row leaves."""
    postgres_of_platform.execute("ALTER TABLE audit.opened RENAME TO opened_away")
    try:
        with pytest.raises(LakeholdError) as caught:
            worker.run("SELECT * FROM work")
        assert isinstance(caught.value, LedgerUnavailable) or caught.value.http_status >= 500
        with pytest.raises(LakeholdError):
            worker.run("INSERT INTO work VALUES (500)")
    finally:
        postgres_of_platform.execute("ALTER TABLE audit.opened_away RENAME TO opened")
    assert worker.run("SELECT count(*) FROM work WHERE id = 500") == [(0,)]


@pytest.fixture
def postgres_of_platform(platform: Platform) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection of one's own to the platform's PostgreSQL."""
    dsn = platform.settings.postgres_dsn
    assert dsn is not None
    with psycopg.connect(str(dsn), autocommit=True) as connection:
        yield connection
