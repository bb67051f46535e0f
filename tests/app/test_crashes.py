"""Processes that are killed: nothing acknowledged is lost, and all recovers by itself."""

from __future__ import annotations

import threading
import time

import httpx
import pytest

from serving import eventually


def verified(platform):
    """Whether the ledger's chain is whole."""
    headers = {"Authorization": f"Bearer {platform.token}"}
    answer = httpx.get(f"{platform.url}/v1/audit/verify", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def insert_until(platform, stop, acknowledged, errors):
    """Insert one number after another, and note those that were acknowledged."""
    with platform.connect() as db:
        number = 0
        while not stop.is_set():
            number += 1
            try:
                db.execute(f"INSERT INTO s.t VALUES ({number})")
                acknowledged.append(number)
            except Exception as error:
                errors.append((time.monotonic(), error))
                time.sleep(0.05)


def test_a_platform_that_is_killed_while_it_writes_loses_nothing_acknowledged(make_platform):
    platform = make_platform().start()
    with platform.connect() as db:
        db.execute("CREATE SCHEMA s")
        db.execute("CREATE TABLE s.t (a INTEGER)")
    stop, acknowledged, errors = threading.Event(), [], []
    writer = threading.Thread(target=insert_until, args=(platform, stop, acknowledged, errors))
    writer.start()
    while len(acknowledged) < 20:
        time.sleep(0.01)
    server = platform.postgres.pid
    platform.kill()
    stop.set()
    writer.join(20)
    assert platform.postgres.pid == server, "PostgreSQL outlives the platform"

    platform.start()
    assert platform.secret is None, "the one-time secret is of the first start alone"
    assert platform.postgres.pid == server, "and is taken over by the next"
    stored = {row[0] for row in platform.rows("SELECT a FROM s.t")}
    assert set(acknowledged) <= stored <= {*acknowledged, max(acknowledged) + 1}
    with platform.connect() as db:
        db.execute("INSERT INTO s.t VALUES (-1)")
    assert verified(platform)["ok"]
    assert platform.stop() == 0


def test_a_statement_that_ran_when_the_platform_was_killed_is_recorded_as_interrupted(
    make_platform,
):
    platform = make_platform().start()
    text = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range <> b.range"

    def run():
        with pytest.raises(Exception):
            platform.rows(text)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(1.5)
    platform.kill()
    thread.join(20)
    platform.start()
    found = platform.rows(
        "SELECT status FROM lakehold.ledger WHERE statement LIKE 'SELECT count(*) FROM range%'"
    )
    assert found == [("interrupted",)]
    assert verified(platform)["ok"]


def test_a_postgresql_that_is_killed_under_load_comes_back_and_statements_fail_soon(
    make_platform,
):
    platform = make_platform().start()
    with platform.connect() as db:
        db.execute("CREATE SCHEMA s")
        for number in range(4):
            db.execute(f"CREATE TABLE s.t{number} (a INTEGER)")
    stop = threading.Event()
    acknowledged = [[] for _ in range(4)]
    failed: list[tuple[float, Exception]] = []

    def write(table):
        with platform.connect() as db:
            number = 0
            while not stop.is_set():
                number += 1
                began = time.monotonic()
                try:
                    db.execute(f"INSERT INTO s.t{table} VALUES ({number})")
                    acknowledged[table].append(number)
                except Exception as error:
                    failed.append((time.monotonic() - began, error))
                    time.sleep(0.02)

    threads = [threading.Thread(target=write, args=(table,)) for table in range(4)]
    for thread in threads:
        thread.start()
    while min(map(len, acknowledged)) < 5:
        time.sleep(0.01)
    for _ in range(2):
        before = platform.postgres
        before.kill()
        counts = [len(numbers) for numbers in acknowledged]
        eventually(lambda: min(len(n) - c for n, c in zip(acknowledged, counts)) > 3, 30)
        assert platform.postgres.pid != before.pid
    stop.set()
    for thread in threads:
        thread.join(20)
    for table, numbers in enumerate(acknowledged):
        stored = [row[0] for row in platform.rows(f"SELECT a FROM s.t{table}")]
        assert set(numbers) <= set(stored)
        assert len(stored) == len(set(stored)), "nothing was written twice"
    messages = {str(error) for _, error in failed}
    assert all("PostgreSQL" in message for message in messages), messages
    assert max(seconds for seconds, _ in failed) < 8
    assert verified(platform)["ok"]
    assert platform.stop() == 0
