"""Fixtures for all tests: one PostgreSQL a session, a database of its own for each test."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from lakehold.state import Database, EmbeddedPostgres, migrate

if TYPE_CHECKING:
    from lakehold.app import Platform

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server_folders() -> Iterator[Path]:
    """A folder for the folders of PostgreSQL servers.

    Not one of pytest's own: each session that starts closes the folder that all of them
    share, and a server that runs as another account than root's loses its way.
    """
    with tempfile.TemporaryDirectory(prefix="lakehold-tests-") as folder:
        yield Path(folder)


@pytest.fixture
def server_folder(server_folders: Path) -> Path:
    """A folder of a test's own in which a PostgreSQL server may run."""
    folder = server_folders / f"test{next(_numbers)}"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture(scope="session")
def postgres(server_folders: Path) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server for the whole session."""
    server = EmbeddedPostgres(server_folders / "postgres")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres) -> str:
    """The name of a migrated database that tests are given copies of."""
    database = Database(postgres.conninfo)
    migrate(database)
    database.close()
    return "lakehold"


@pytest.fixture
def conninfo(postgres: EmbeddedPostgres, template: str) -> Iterator[str]:
    """A connection string to a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    admin = f"host={postgres.sockets} user=lakehold dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield f"host={postgres.sockets} user=lakehold dbname={name}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(conninfo: str) -> Iterator[Database]:
    """A pool on a fresh, migrated database."""
    opened = Database(conninfo)
    yield opened
    opened.close()


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """An empty folder for tables' files."""
    folder = tmp_path / "warehouse"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def platform(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One platform for the whole session, served over HTTP; a test uses a schema of its own."""
    from lakehold.app import Platform
    from lakehold.settings import Settings

    admin = f"host={postgres.sockets} user=lakehold dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE platform")
    settings = Settings(
        dir=tmp_path_factory.mktemp("platform"),
        postgres_dsn=f"host={postgres.sockets} user=lakehold dbname=platform",
        http_port=0,
        memory="2GB",
    )
    with Platform(settings) as started:
        yield started
