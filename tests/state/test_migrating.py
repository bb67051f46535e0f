"""Migrations: once each, in order, all or nothing, and never others than were applied."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from lakehold.errors import ConfigurationInvalid
from lakehold.state import (
    Database,
    EmbeddedPostgres,
    Migration,
    applied,
    known_migrations,
    migrate,
)

_numbers = count(1)


@pytest.fixture
def empty(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A pool on a database without any migration."""
    name = f"empty_{next(_numbers)}"
    admin = f"host={postgres.sockets} user=lakehold dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    opened = Database(f"host={postgres.sockets} user=lakehold dbname={name}", pool_max=8)
    yield opened
    opened.close()
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def step(number: int, sql: str, name: str = "step") -> Migration:
    return Migration(number, name, sql, hashlib.sha256(sql.encode()).hexdigest())


FIRST = step(1, "CREATE TABLE first (n integer); INSERT INTO first VALUES (1)")
SECOND = step(2, "INSERT INTO first VALUES (2)")
BROKEN = step(2, "INSERT INTO first VALUES (2); SELECT nonsense", "broken")


def rows(database: Database) -> list[int]:
    with database.transaction() as connection:
        return [n for (n,) in connection.execute("SELECT n FROM first ORDER BY n")]


def test_each_is_applied_once_and_in_order(empty: Database) -> None:
    assert migrate(empty, [FIRST, SECOND]) == [FIRST, SECOND]
    assert migrate(empty, [FIRST, SECOND]) == []
    assert rows(empty) == [1, 2]


def test_a_new_one_is_applied_to_what_is_there(empty: Database) -> None:
    migrate(empty, [FIRST])
    assert migrate(empty, [FIRST, SECOND]) == [SECOND]


def test_one_that_fails_leaves_nothing_and_is_named(empty: Database) -> None:
    with pytest.raises(ConfigurationInvalid, match="0002_broken") as caught:
        migrate(empty, [FIRST, BROKEN])
    assert "nonsense" in caught.value.message
    assert applied(empty) == {}


def test_one_that_was_changed_is_found(empty: Database) -> None:
    migrate(empty, [FIRST])
    with pytest.raises(ConfigurationInvalid, match="not the one that was applied"):
        migrate(empty, [step(1, FIRST.sql + " ")])


def test_a_database_of_a_newer_version_is_refused(empty: Database) -> None:
    migrate(empty, [FIRST, SECOND])
    with pytest.raises(ConfigurationInvalid, match="0002") as caught:
        migrate(empty, [FIRST])
    assert "newer" in (caught.value.hint or "")


def test_one_that_comes_late_is_refused(empty: Database) -> None:
    migrate(empty, [FIRST, step(3, "SELECT 1")])
    with pytest.raises(ConfigurationInvalid, match="comes before"):
        migrate(empty, [FIRST, SECOND, step(3, "SELECT 1")])
    assert rows(empty) == [1]


def test_platforms_that_migrate_at_once_take_turns(empty: Database) -> None:
    done: list[list[Migration]] = []
    threads = [
        threading.Thread(target=lambda: done.append(migrate(empty, [FIRST, SECOND])))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(fresh) for fresh in done) == [0] * 5 + [2]
    assert rows(empty) == [1, 2]


def test_the_ones_that_come_with_lakehold_apply_to_an_empty_database(empty: Database) -> None:
    known = known_migrations()
    assert [m.number for m in known] == sorted({m.number for m in known})
    assert migrate(empty) == known
    assert applied(empty) == {m.number: m.checksum for m in known}
