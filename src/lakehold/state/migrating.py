"""Forward-only migrations: numbered SQL files, applied once each, under a lock."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

import psycopg

from lakehold.errors import ConfigurationInvalid
from lakehold.state.database import Connection, Database

LOCK = 0x1A4E_401D
"""The advisory lock under which migrations are applied."""

LOST = (psycopg.OperationalError, psycopg.InterfaceError)
"""Errors that say nothing about a migration: PostgreSQL went away, or its disk is full."""

_FILE = re.compile(r"(\d{4})_([a-z_]+)\.sql\Z")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, its name, its SQL and the SHA-256 of it."""

    number: int
    name: str
    sql: str
    checksum: str


def known_migrations() -> list[Migration]:
    """The migrations of this version of Lakehold, in order."""
    found = []
    for entry in resources.files("lakehold.state").joinpath("migrations").iterdir():
        matched = _FILE.match(entry.name)
        if matched:
            sql = entry.read_text(encoding="utf-8")
            checksum = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(matched[1]), matched[2], sql, checksum))
    return sorted(found, key=lambda migration: migration.number)


def migrate(database: Database, migrations: list[Migration] | None = None) -> list[Migration]:
    """Bring the database to this version; returns what was applied.

    All of it is one transaction: a step that fails leaves nothing behind.

    Raises:
        ConfigurationInvalid: if the database is of a newer Lakehold, or an applied migration
            was changed since.
    """
    wanted = known_migrations() if migrations is None else migrations
    with database.transaction() as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute("CREATE SCHEMA IF NOT EXISTS state")
        connection.execute(
            """
            CREATE TABLE IF NOT EXISTS state.migration (
                number integer PRIMARY KEY,
                name text NOT NULL,
                checksum text NOT NULL,
                applied_at timestamptz NOT NULL DEFAULT now()
            )
            """
        )
        done = _applied(connection)
        _check(done, {migration.number: migration for migration in wanted})
        fresh = [migration for migration in wanted if migration.number not in done]
        _check_order(done, fresh)
        for migration in fresh:
            _apply(connection, migration)
            connection.execute(
                "INSERT INTO state.migration (number, name, checksum) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.checksum],
            )
        return fresh


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        connection.execute(migration.sql.encode())
    except LOST:
        raise
    except psycopg.Error as error:
        raise ConfigurationInvalid(
            f"migration {migration.number:04}_{migration.name} failed ({error.sqlstate}): "
            f"{error.diag.message_primary}; nothing was changed",
        ) from error


def applied(database: Database) -> dict[int, str]:
    """The numbers and checksums of the migrations that were applied."""
    with database.transaction() as connection:
        known = connection.execute("SELECT to_regclass('state.migration')").fetchone()
        return _applied(connection) if known and known[0] else {}


def _applied(connection: Connection) -> dict[int, str]:
    rows = connection.execute("SELECT number, checksum FROM state.migration").fetchall()
    return dict(rows)


def _check_order(done: dict[int, str], fresh: list[Migration]) -> None:
    for migration in fresh:
        if migration.number <= max(done, default=0):
            raise ConfigurationInvalid(
                f"migration {migration.number:04}_{migration.name} comes before "
                f"{max(done):04}, which was applied already",
                hint="install the released version; its migrations are in order",
            )


def _check(done: dict[int, str], known: dict[int, Migration]) -> None:
    for number, checksum in sorted(done.items()):
        migration = known.get(number)
        if migration is None:
            raise ConfigurationInvalid(
                f"the database has migration {number:04}, which this Lakehold does not know",
                hint="start the newer version of Lakehold that made it",
            )
        if migration.checksum != checksum:
            raise ConfigurationInvalid(
                f"migration {number:04}_{migration.name} is not the one that was applied",
                hint="migrations are never changed; install the released version",
            )
