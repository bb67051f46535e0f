"""The pool: bounded, honest about what happened, and well again by itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors as postgres_errors

from lakehold.errors import (
    CommitConflict,
    CommitUnknown,
    ConfigurationInvalid,
    InvalidValue,
    LakeholdError,
    LockTimeout,
    StateUnavailable,
    StorageFailed,
)
from lakehold.state import REPEATABLE_READ, Database, EmbeddedPostgres
from lakehold.state import database as database_module
from lakehold.state.database import translate


@pytest.fixture
def server(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, which it may kill."""
    started = EmbeddedPostgres(server_folder / "postgres")
    started.start()
    yield started
    started.stop()


def count(database: Database, table: str) -> int:
    with database.transaction(read_only=True) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def until_it_answers(database: Database, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while True:
        try:
            database.check()
        except StateUnavailable:
            assert time.monotonic() < end, "it did not recover"
            time.sleep(0.05)
        else:
            return


def test_a_transaction_is_committed_at_its_end(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    assert count(database, "kept") == 1


def test_an_exception_rolls_everything_back(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE kept (n integer)")
    with pytest.raises(ZeroDivisionError), database.transaction() as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        raise ZeroDivisionError
    assert count(database, "kept") == 0


def test_a_repeatable_read_sees_one_snapshot(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE kept (n integer)")
    with database.transaction(isolation=REPEATABLE_READ) as first:
        first.execute("SELECT count(*) FROM kept")
        with database.transaction() as second:
            second.execute("INSERT INTO kept VALUES (1)")
        row = first.execute("SELECT count(*) FROM kept").fetchone()
        assert row == (0,)


def test_isolation_does_not_stay_on_a_connection(conninfo: str) -> None:
    database = Database(conninfo, pool_max=1)
    try:
        with database.transaction(isolation=REPEATABLE_READ, read_only=True) as connection:
            connection.execute("SELECT 1")
        with database.transaction() as connection:
            shown = connection.execute(
                "SELECT current_setting('transaction_isolation'),"
                " current_setting('transaction_read_only')"
            ).fetchone()
        assert shown == ("read committed", "off")
    finally:
        database.close()


def test_what_is_read_only_cannot_write(database: Database) -> None:
    with pytest.raises(StateUnavailable, match="read-only"):
        with database.transaction(read_only=True) as connection:
            connection.execute("CREATE TABLE never (n integer)")


def test_an_exhausted_pool_refuses_after_a_bounded_wait(conninfo: str) -> None:
    database = Database(conninfo, pool_max=2, wait_s=0.3)
    try:
        with database.transaction(), database.transaction():
            began = time.monotonic()
            with pytest.raises(StateUnavailable), database.transaction():
                pass
            assert 0.2 < time.monotonic() - began < 3
        assert database.check()
    finally:
        database.close()


def test_more_than_may_wait_are_refused_at_once(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "WAITING_MAX", 1)
    database = Database(conninfo, pool_max=1, wait_s=5)
    done = threading.Event()

    def wait_in_line() -> None:
        with database.transaction():
            done.set()

    try:
        with database.transaction():
            line = threading.Thread(target=wait_in_line)
            line.start()
            time.sleep(0.3)
            began = time.monotonic()
            with pytest.raises(StateUnavailable), database.transaction():
                pass
            assert time.monotonic() - began < 1
        line.join(10)
        assert done.is_set()
    finally:
        database.close()


def test_no_connection_is_lost_by_failures(conninfo: str) -> None:
    database = Database(conninfo, pool_max=2, wait_s=2)
    try:
        for _ in range(20):
            with pytest.raises(LakeholdError), database.transaction() as connection:
                connection.execute("SELECT 1/0")
            with pytest.raises(ZeroDivisionError), database.transaction() as connection:
                connection.close()
                raise ZeroDivisionError
        with database.transaction(), database.transaction():
            pass
    finally:
        database.close()


def test_a_connection_that_broke_while_idle_is_replaced_unseen(conninfo: str) -> None:
    database = Database(conninfo, pool_max=1)
    try:
        with database.transaction() as connection:
            pid = connection.info.backend_pid
        with psycopg.connect(conninfo, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert database.check()
    finally:
        database.close()


def test_a_server_that_goes_away_is_an_error_and_comes_back_by_itself(
    server: EmbeddedPostgres,
) -> None:
    database = Database(server.conninfo, wait_s=1)
    try:
        server.stop()
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(StateUnavailable):
                database.check()
            assert time.monotonic() - began < 5
        server.start()
        until_it_answers(database)
    finally:
        database.close()


def test_a_commit_whose_answer_is_lost_is_not_called_undone(server: EmbeddedPostgres) -> None:
    database = Database(server.conninfo, wait_s=1)
    try:
        with pytest.raises(CommitUnknown) as caught, database.transaction() as connection:
            connection.execute("CREATE TABLE perhaps (n integer)")
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            while server.pid is not None:
                time.sleep(0.01)
            time.sleep(0.3)
        assert not caught.value.retryable
        assert "nothing was done" not in caught.value.message
    finally:
        database.close()


def test_a_read_whose_server_is_lost_is_not_a_lost_commit(server: EmbeddedPostgres) -> None:
    database = Database(server.conninfo, wait_s=1)
    try:
        with pytest.raises(StateUnavailable) as caught:
            with database.transaction(read_only=True) as connection:
                connection.execute("SELECT 1")
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                time.sleep(0.5)
        assert not isinstance(caught.value, CommitUnknown)
    finally:
        database.close()


def test_who_holds_a_connection_for_long_is_told_that_it_was_lost(
    database: Database, conninfo: str
) -> None:
    with pytest.raises(StateUnavailable), database.transaction() as connection:
        pid = connection.info.backend_pid
        with psycopg.connect(conninfo, autocommit=True) as admin:
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        for _ in range(2):
            with pytest.raises(StateUnavailable, match="cannot be reached"):
                connection.execute("SELECT 1")
        connection.execute("SELECT 1")
    assert database.check()


def test_transactions_that_collide_are_a_conflict(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    with pytest.raises(CommitConflict) as caught:
        with database.transaction(isolation=REPEATABLE_READ) as late:
            late.execute("SELECT n FROM kept")
            with database.transaction() as early:
                early.execute("UPDATE kept SET n = 2")
            late.execute("UPDATE kept SET n = 3")
    assert caught.value.retryable


def test_a_lock_that_is_held_is_a_lock_timeout(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    with database.transaction() as holder:
        holder.execute("LOCK TABLE kept")
        with pytest.raises(LockTimeout), database.transaction() as connection:
            connection.execute("SET LOCAL lock_timeout = 50")
            connection.execute("SELECT n FROM kept")


def test_a_nul_in_a_text_is_the_callers_mistake(database: Database) -> None:
    with pytest.raises(InvalidValue), database.transaction() as connection:
        connection.execute("SELECT %s::text", ["a\0b"])


def test_a_full_disk_of_postgres_is_a_storage_failure() -> None:
    assert isinstance(translate(postgres_errors.DiskFull("no space left")), StorageFailed)


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://lake:hunter2@127.0.0.1:1/lake?connect_timeout=1",
        "host=127.0.0.1 port=1 user=lake password=hunter2",
        "host=127.0.0.1 prot=1 password=hunter2",
        "postgresql://lake:hunter2@[::1",
    ],
)
def test_a_password_is_in_no_error_and_no_log(
    conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(LakeholdError) as caught:
        Database(conninfo, wait_s=1.5)
    error: BaseException | None = caught.value
    while error is not None:
        assert "hunter2" not in f"{error} {getattr(error, 'hint', '')}"
        error = None if error.__suppress_context__ else error.__cause__ or error.__context__
    assert "hunter2" not in caplog.text


def test_a_malformed_connection_string_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationInvalid, match="malformed"):
        Database("this is no connection string")


def test_an_old_postgres_is_refused(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "VERSION_MIN", 990000)
    with pytest.raises(ConfigurationInvalid, match="too old"):
        Database(conninfo)


def test_the_users_own_options_are_kept(conninfo: str) -> None:
    database = Database(f"{conninfo} options='-c work_mem=5MB'")
    try:
        with database.transaction() as connection:
            shown = connection.execute(
                "SELECT current_setting('work_mem'), current_setting('TimeZone')"
            ).fetchone()
        assert shown == ("5MB", "UTC")
    finally:
        database.close()
