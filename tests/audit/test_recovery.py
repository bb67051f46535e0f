"""Statements of platforms that died."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audit.statements import KEY, OK, begin
from lakehold.audit import Ledger
from lakehold.state import Database


def statuses(ledger: Ledger) -> list[str]:
    found: list[str] = ledger.read().read_all().column("status").to_pylist()
    return found


def crash(conninfo: str, statements: int) -> None:
    """A platform that opens statements and is killed."""
    program = f"""
        import os, signal
        from audit.statements import begin
        from lakehold.audit import Ledger
        from lakehold.clock import system_clock
        from lakehold.state import Database
        ledger = Ledger(Database({conninfo!r}), system_clock, {KEY!r}, "victim")
        for number in range({statements}):
            ledger.open(None, begin(application=str(number)))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={"PYTHONPATH": f"src:{Path(__file__).parents[1]}"},
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == -9


def test_statement_open_at_a_crash_is_recorded_interrupted_once(
    conninfo: str, make_ledger: Callable[..., Ledger]
) -> None:
    crash(conninfo, 3)
    ledgers = [make_ledger(checkpoints=None) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda ledger: ledger.recover(), ledgers))
    assert sum(found) == 3
    assert ledgers[0].recover() == 0
    assert statuses(ledgers[0]) == ["interrupted"] * 3
    (row, *_) = ledgers[0].read().read_all().to_pylist()
    assert row["instance"].startswith("victim-")
    assert ledgers[0].verify().records == 3


def test_statement_of_a_living_platform_is_left_alone(make_ledger: Callable[..., Ledger]) -> None:
    living, other = make_ledger(checkpoints=None), make_ledger(checkpoints=None)
    ticket = living.open(None, begin())
    assert other.recover() == 0
    living.close(ticket, OK)
    assert statuses(other) == ["ok"]


def test_own_statements_are_left_alone(ledger: Ledger) -> None:
    ticket = ledger.open(None, begin())
    assert ledger.recover() == 0
    ledger.close(ticket, OK)
    assert statuses(ledger) == ["ok"]


def test_platform_that_stopped_leaves_its_open_statements_to_the_next(
    make_ledger: Callable[..., Ledger],
) -> None:
    first = make_ledger(checkpoints=None)
    ticket = first.open(None, begin())
    first.stop()
    second = make_ledger(checkpoints=None)
    assert second.recover() == 1
    first.close(ticket, OK)
    assert statuses(second) == ["interrupted"]
    assert second.verify().ok


def test_many_open_statements_are_recovered(
    conninfo: str, make_ledger: Callable[..., Ledger]
) -> None:
    crash(conninfo, 1_100)
    ledger = make_ledger(checkpoints=None)
    assert ledger.recover() == 1_100
    assert ledger.verify().records == 1_100


def test_a_living_platform_sees_to_those_that_die_later(
    conninfo: str, make_ledger: Callable[..., Ledger]
) -> None:
    ledger = make_ledger(checkpoints=None)
    crash(conninfo, 2)
    ledger._tick()
    assert statuses(ledger) == []
    ledger._recover_due = 0
    ledger._tick()
    assert statuses(ledger) == ["interrupted"] * 2


def test_a_forged_open_statement_is_never_put_into_the_chain_and_is_told(
    database: Database, conninfo: str, make_ledger: Callable[..., Ledger]
) -> None:
    crash(conninfo, 3)
    ledger = make_ledger(checkpoints=None)
    with database.transaction() as conn:
        conn.execute(
            """
            UPDATE audit.opened SET start = replace(start, '"ada"', '"eve"')
            WHERE key = (SELECT key FROM audit.opened ORDER BY at LIMIT 1)
            """
        )
    assert ledger.recover() == 2
    assert ledger.recover() == 0
    assert set(ledger.read().read_all().column("principal").to_pylist()) == {"ada"}
    found = ledger.verify()
    assert (found.ok, found.records, found.what) == (False, 2, "forged")


def test_an_open_statement_cannot_be_moved_to_another_platform(
    database: Database, make_ledger: Callable[..., Ledger]
) -> None:
    ledger, other = make_ledger(checkpoints=None), make_ledger(checkpoints=None)
    ticket = ledger.open(None, begin())
    with database.transaction() as conn:
        conn.execute("UPDATE audit.opened SET instance = 'gone'")
    assert other.recover() == 0
    ledger.close(ticket, OK)
    assert statuses(other) == ["ok"]
    assert other.verify().ok
