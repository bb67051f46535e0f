"""A platform with its HTTP server, for tests that talk to it as outside engines do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psycopg
import pytest

from lakehold.access import Access
from lakehold.audit import Ledger
from lakehold.catalog import Catalog, WriteBindings
from lakehold.clock import system_clock
from lakehold.engines.duckdb import DuckDBEngine, EngineLimits
from lakehold.identity import Client, Principal, Protocol, Session
from lakehold.ingest.staging import StagingArea
from lakehold.query import Gateway
from lakehold.server.application import ServerParts, create_application
from lakehold.server.engine_port import EnginePort
from lakehold.server.listener import Address, Listener
from lakehold.state import Database, EmbeddedPostgres
from lakehold.storage import open_store

KEY = b"k" * 32

_numbers = itertools.count(1)


@dataclass
class LakeServer:
    """A running platform.

    Attributes:
        url: of the HTTP server.
        admin_token: of a principal with the role ``admin``.
    """

    url: str
    gateway: Gateway
    access: Access
    warehouse: Path
    admin_token: str

    @property
    def iceberg(self) -> str:
        """The base URL of the REST catalog."""
        return f"{self.url}/iceberg"

    def name(self, prefix: str = "n") -> str:
        """A name that no other test has."""
        return f"{prefix}{next(_numbers)}"

    def session(self, token: str | None = None) -> Session:
        """An SQL session of the principal of a token."""
        principal: Principal = self.access.authenticate(token or self.admin_token)
        return self.gateway.open_session(principal, Client(Protocol.EMBEDDED))

    def sql(self, text: str, token: str | None = None) -> list[tuple[object, ...]]:
        """Run a statement through the gateway; returns its rows."""
        result = self.gateway.execute(self.session(token), text)
        return [
            row
            for batch in result.batches()
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]

    def principal(self, *grants: str) -> str:
        """A token of a new user whose own role has these grants.

        Args:
            grants: the middle of GRANT statements, such as ``SELECT ON TABLE s.t``.
        """
        user, role = self.name("user"), self.name("role")
        for text in (
            f"CREATE USER {user}",
            f"CREATE ROLE {role}",
            f"GRANT ROLE {role} TO USER {user}",
            *(f"GRANT {grant} TO ROLE {role}" for grant in grants),
        ):
            self.sql(text)
        return self.token(user)

    def token(self, user: str) -> str:
        """A token of a user."""
        admin = self.access.authenticate(self.admin_token)
        return self.access.create_token(user, name="test", expires_in=None, by=admin)

    def revoke(self, token: str) -> None:
        """End a token."""
        admin = self.access.authenticate(self.admin_token)
        self.access.revoke_token(UUID(hex=token.split("_")[1]), by=admin)

    def http(self, token: str | None = None) -> httpx.Client:
        """A plain HTTP client of the REST catalog."""
        return httpx.Client(
            base_url=f"{self.iceberg}/v1/",
            headers={"Authorization": f"Bearer {token or self.admin_token}"},
            timeout=30,
        )


@pytest.fixture(scope="session")
def lake(
    postgres: EmbeddedPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LakeServer]:
    """One platform for the whole session; a test uses names of its own in it."""
    name = "lake_server"
    admin = f"host={postgres.sockets} user=lakehold dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    folder = tmp_path_factory.mktemp("lake")
    warehouse = folder / "warehouse"
    warehouse.mkdir()
    database = Database(f"host={postgres.sockets} user=lakehold dbname={name}")
    stop: list[Callable[[], None]] = [database.close]
    try:
        server = _start(database, folder, warehouse, stop)
        yield server
    finally:
        for close in reversed(stop):
            close()
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _start(
    database: Database, folder: Path, warehouse: Path, stop: list[Callable[[], None]]
) -> LakeServer:
    access = Access(database, system_clock, KEY)
    ledger = Ledger(database, system_clock, KEY)
    stop.append(ledger.stop)
    catalog = Catalog(database, open_store(str(warehouse)), clock=system_clock)
    engine = DuckDBEngine(
        EngineLimits(memory="2GB", writers=4, statements=16),
        temporary=folder / "spill",
        allowed=[str(warehouse)],
    )
    stop.append(engine.close)
    bindings = WriteBindings()
    port = EnginePort(bindings, [slot.token for slot in engine.slots])
    port.start()
    stop.append(port.stop)
    engine.attach(port.endpoint)
    gateway = Gateway(
        database=database,
        catalog=catalog,
        access=access,
        ledger=ledger,
        engine=engine,
        bindings=bindings,
        clock=system_clock,
    )
    stop.append(gateway.close)
    staging = StagingArea(folder / "staging")
    parts = ServerParts(gateway=gateway, access=access, ledger=ledger, staging=staging)
    listener = Listener(create_application(parts), Address())
    url = listener.start()
    stop.append(listener.stop)
    secret = access.bootstrap()
    assert secret is not None
    token = access.exchange(secret, "test")
    return LakeServer(url, gateway, access, warehouse, token)
