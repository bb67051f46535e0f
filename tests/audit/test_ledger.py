"""Opening, closing and reading records."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit.statements import KEY, OK, begin
from lakehold.audit import Ledger, StatementOutcome
from lakehold.clock import system_clock
from lakehold.errors import CommitUnknown, LedgerUnavailable
from lakehold.state import Connection, Database, EmbeddedPostgres, migrate

REFUSED = StatementOutcome(status="refused", decision="refused", reason="SELECT is not granted")


def count(database: Database, table: str) -> int:
    with database.transaction() as conn:
        row = conn.execute(f"SELECT count(*) FROM audit.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_statement_leaves_exactly_one_record(ledger: Ledger, database: Database) -> None:
    """Invariant 1."""
    start = begin()
    ticket = ledger.open(None, start)
    assert (count(database, "opened"), count(database, "ledger")) == (1, 0)
    ledger.close(ticket, OK)
    assert (count(database, "opened"), count(database, "ledger")) == (0, 1)
    (row,) = ledger.read().read_all().to_pylist()
    assert row["statement_id"] == str(start.id)
    assert (row["status"], row["rows"], row["tables_written"]) == ("ok", 3, [])
    assert row["tables_read"] == ["sales.orders"]
    assert row["columns_read"] == ["sales.orders.id", "sales.orders.amount"]
    assert row["started_at"] == start.at


def test_closing_twice_leaves_one_record(ledger: Ledger, database: Database) -> None:
    ticket = ledger.open(None, begin())
    ledger.close(ticket, OK)
    ledger.close(ticket, REFUSED)
    assert [row["status"] for row in ledger.read().read_all().to_pylist()] == ["ok"]
    assert ledger.verify().ok


def test_record_after_a_commit_of_unknown_outcome_is_not_doubled(
    ledger: Ledger, database: Database
) -> None:
    start = begin()
    with database.transaction() as conn:
        ledger.record(start, OK, conn)
    ledger.record(start, REFUSED)
    assert [row["status"] for row in ledger.read().read_all().to_pylist()] == ["ok"]


@pytest.mark.parametrize("made", [True, False])
def test_a_commit_of_unknown_outcome_is_tried_again(
    ledger: Ledger, database: Database, monkeypatch: pytest.MonkeyPatch, made: bool
) -> None:
    ticket = ledger.open(None, begin())
    transaction = database.transaction

    @contextmanager
    def lost(**options: Any) -> Iterator[Connection]:
        monkeypatch.setattr(database, "transaction", transaction)
        with suppress(ZeroDivisionError), transaction(**options) as conn:
            yield conn
            if not made:
                raise ZeroDivisionError
        raise CommitUnknown("PostgreSQL vanished while it committed")

    monkeypatch.setattr(database, "transaction", lost)
    ledger.close(ticket, OK)
    ledger.record(begin(), OK)
    assert ledger.read().read_all().column("seq").to_pylist() == [2, 1]
    assert count(database, "opened") == 0
    assert ledger.verify().ok


def test_reused_statement_id_has_a_record_of_its_own(ledger: Ledger) -> None:
    first = begin()
    ledger.record(first, OK)
    ledger.record(begin(id=first.id), REFUSED)
    assert ledger.read().read_all().num_rows == 2
    assert ledger.verify().ok


def test_joined_record_stands_only_if_the_transaction_commits(
    ledger: Ledger, database: Database
) -> None:
    ticket = ledger.open(None, begin())
    with pytest.raises(ZeroDivisionError), database.transaction() as conn:
        ledger.close(ticket, OK, conn)
        raise ZeroDivisionError
    assert (count(database, "opened"), count(database, "ledger")) == (1, 0)
    ledger.close(ticket, REFUSED)
    assert ledger.verify().records == 1


def test_second_record_of_a_statement_rolls_the_joined_transaction_back(
    ledger: Ledger, database: Database
) -> None:
    ticket = ledger.open(None, begin())
    ledger.close(ticket, OK)
    with pytest.raises(LedgerUnavailable, match="already"), database.transaction() as conn:
        ledger.close(ticket, OK, conn)


def test_open_that_was_rolled_back_can_still_be_closed(ledger: Ledger, database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.transaction() as conn:
        ticket = ledger.open(conn, begin())
        raise ZeroDivisionError
    ledger.close(ticket, REFUSED)
    assert count(database, "ledger") == 1


def test_concurrent_appenders_each_get_one_record(ledger: Ledger, database: Database) -> None:
    """Half of them join transactions of their own, as commits do."""
    threads, each = 16, 50
    barrier = threading.Barrier(threads)

    def work(worker: int) -> None:
        barrier.wait()
        for number in range(each):
            ticket = ledger.open(None, begin(application=f"{worker}/{number}"))
            if worker % 2:
                with database.transaction() as conn:
                    ledger.close(ticket, OK, conn)
            else:
                ledger.close(ticket, OK)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    found = ledger.read().read_all().column("application").to_pylist()
    assert sorted(found) == sorted(f"{w}/{n}" for w in range(threads) for n in range(each))
    assert ledger.verify().records == threads * each
    assert count(database, "opened") == 0


def test_commits_and_closers_take_turns_and_each_leaves_one_record(
    conninfo: str, checkpoint_file: Path
) -> None:
    """Some join a transaction that commits or rolls back, the others commit in batches."""
    database = Database(conninfo, pool_max=6)
    ledger = Ledger(database, system_clock, KEY, checkpoints=checkpoint_file)

    def run(number: int) -> None:
        for turn in range(20):
            ticket = ledger.open(None, begin(application=f"{number}/{turn}"))
            if number % 2:
                ledger.close(ticket, OK)
                continue
            with suppress(ZeroDivisionError), database.transaction() as conn:
                ledger.close(ticket, OK, conn)
                if turn % 3 == 0:
                    raise ZeroDivisionError
            if turn % 3 == 0:
                ledger.close(ticket, REFUSED)

    try:
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(run, range(12)))
        rows = ledger.read().read_all()
        assert sorted(rows.column("application").to_pylist()) == sorted(
            f"{number}/{turn}" for number in range(12) for turn in range(20)
        )
        assert rows.column("status").to_pylist().count("refused") == 6 * 7
        assert count(database, "opened") == 0
        assert ledger.verify().ok
    finally:
        ledger.stop()
        database.close()


def test_several_platforms_share_one_chain(make_ledger: Callable[..., Ledger]) -> None:
    ledgers = [make_ledger(checkpoints=None) for _ in range(4)]

    def work(ledger: Ledger) -> None:
        for _ in range(40):
            ledger.close(ledger.open(None, begin()), OK)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ledgers))
    assert ledgers[0].verify().records == 160


def test_unreachable_ledger_is_an_error(
    postgres: EmbeddedPostgres, ledger: Ledger, database: Database
) -> None:
    """Invariant 10."""
    ticket = ledger.open(None, begin())
    with database.transaction() as conn:
        conn.execute("ALTER TABLE audit.ledger RENAME TO hidden")
        conn.execute("ALTER TABLE audit.opened RENAME TO hidden_too")
    with pytest.raises(LedgerUnavailable):
        ledger.open(None, begin())
    with pytest.raises(LedgerUnavailable):
        ledger.close(ticket, OK)
    with pytest.raises(LedgerUnavailable), database.transaction() as conn:
        ledger.record(begin(), OK, conn)
    with database.transaction() as conn:
        conn.execute("ALTER TABLE audit.hidden RENAME TO ledger")
        conn.execute("ALTER TABLE audit.hidden_too RENAME TO opened")
    ledger.close(ticket, OK)
    assert ledger.verify().ok


def test_server_that_is_gone_is_ledger_unavailable_and_recovers(
    tmp_path: Path,
) -> None:
    """Invariant 10, with a PostgreSQL that stops."""
    server = EmbeddedPostgres(tmp_path / "pg")
    server.start()
    database = Database(server.conninfo, wait_s=2)
    try:
        migrate(database)
        ledger = Ledger(database, system_clock, KEY)
        ticket = ledger.open(None, begin())
        server.stop()
        with pytest.raises(LedgerUnavailable):
            ledger.open(None, begin())
        with pytest.raises(LedgerUnavailable):
            ledger.close(ticket, OK)
        server.start()
        _eventually(lambda: ledger.close(ticket, OK))
        assert ledger.verify().records == 1
        ledger.stop()
    finally:
        database.close()
        server.stop()


def test_update_delete_and_truncate_are_refused(ledger: Ledger, database: Database) -> None:
    ledger.record(begin(), OK)
    for statement in (
        b"UPDATE audit.ledger SET status = 'failed'",
        b"DELETE FROM audit.ledger",
        b"TRUNCATE audit.ledger",
        b"DELETE FROM audit.head",
    ):
        with pytest.raises(Exception) as caught, database.transaction() as conn:
            conn.execute(statement)
        assert isinstance(caught.value.__cause__, psycopg.errors.InsufficientPrivilege)


def test_reading_is_filtered_newest_first_and_limited(ledger: Ledger) -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    for hour in range(6):
        who = "ada" if hour % 2 else "bob"
        ledger.record(begin(at=noon + timedelta(hours=hour), principal=who), OK)
    ledger.record(begin(at=noon, principal="eve"), REFUSED)

    def seqs(**conditions: object) -> list[int]:
        found: list[int] = ledger.read(**conditions).read_all().column("seq").to_pylist()  # type: ignore[arg-type]
        return found

    assert seqs() == [7, 6, 5, 4, 3, 2, 1]
    assert seqs(limit=2) == [7, 6]
    assert seqs(limit=100) == [7, 6, 5, 4, 3, 2, 1]
    assert seqs(limit=0) == []
    assert seqs(principal="ada") == [6, 4, 2]
    assert seqs(principal="ada", limit=2) == [6, 4]
    assert seqs(status="refused") == [7]
    assert seqs(table="sales.orders", limit=3) == [6, 5, 4]
    assert seqs(table="sales.other") == []
    assert seqs(table="sales.other", limit=3) == []
    since, until = noon + timedelta(hours=1), noon + timedelta(hours=3)
    assert seqs(since=since, until=until) == [3, 2]


def test_reading_streams_in_batches_and_ends_although_it_is_written_on(ledger: Ledger) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ledger.record(begin(), OK), range(2_100)))
    sizes, last = [], 0
    for batch in ledger.read():
        sizes.append(batch.num_rows)
        last = batch.column("seq")[-1].as_py()
        ledger.record(begin(), OK)
    assert sizes == [1_000, 1_000, 100]
    assert last == 1


def test_an_empty_ledger_is_read_as_no_rows_of_its_columns(ledger: Ledger) -> None:
    read = ledger.read().read_all()
    assert read.num_rows == 0
    assert read.schema.names[:5] == [
        "seq",
        "started_at",
        "recorded_at",
        "statement_id",
        "principal",
    ]
    assert str(read.schema.field("started_at").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize(
    "odd",
    [
        {"duration_ms": float("nan")},
        {"duration_ms": float("-inf")},
        {"rows": 2**70, "bytes": -1},
        {"sqlstate": "\ud800\0", "engine": "\udfff", "status": "\0"},
        {"reads": {"\ud800.\0": ["\ud800", "\x1f"]}, "writes": ["\ud800", "a\x1fb"]},
        {"error": "\ud800" * 100_000, "reason": "\0" * 100_000},
    ],
)
def test_whatever_an_outcome_holds_can_be_recorded_verified_and_read(
    ledger: Ledger, odd: dict[str, Any]
) -> None:
    ledger.close(ledger.open(None, begin()), replace(OK, **odd))
    ledger.record(begin(statement="\ud800\0", principal="\0\ud800", purpose="\x1f"), OK)
    assert ledger.verify().ok
    assert ledger.read().read_all().num_rows == 2


def test_opening_and_closing_is_fast_enough_to_stand_before_every_statement(
    ledger: Ledger,
) -> None:
    times = []
    for _ in range(100):
        start, started = begin(), time.perf_counter()
        ledger.close(ledger.open(None, start), OK)
        times.append(time.perf_counter() - started)
    assert statistics.median(times) < 0.02  # about 1 ms on a quiet machine


def _eventually(work: Callable[[], None]) -> None:
    for _ in range(50):
        try:
            work()
            return
        except LedgerUnavailable:
            threading.Event().wait(0.2)
    work()
