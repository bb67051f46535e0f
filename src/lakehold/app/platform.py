"""The composition root: the one place where parts are chosen and wired.

Start: folder lock → PostgreSQL → migrations → store → keys → catalog, access, ledger →
engine and its port → gateway → HTTP. Stop: the reverse.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType

import psutil
import structlog

from lakehold.access import Access
from lakehold.app.housekeeping import swept
from lakehold.audit import Ledger
from lakehold.catalog import Catalog, WriteBindings
from lakehold.clock import Clock, system_clock
from lakehold.engines.duckdb import DuckDBEngine, EngineLimits, ObjectStoreAccess
from lakehold.errors import (
    ConfigurationInvalid,
    PlatformInUse,
    StatementCancelled,
    StorageFailed,
)
from lakehold.identity import Client, Limits, Protocol, Session
from lakehold.ingest import StagingArea
from lakehold.keys import PlatformKeys
from lakehold.query import Gateway
from lakehold.server import Address, Listener, ServerParts, create_application
from lakehold.server.engine_port import EnginePort
from lakehold.server.iceberg_rest import StorageOffer
from lakehold.settings import Settings
from lakehold.state import Database, EmbeddedPostgres, migrate
from lakehold.storage import ObjectStore, S3Credentials, open_store

log = structlog.get_logger(__name__)

GRACE_S = 3.0
"""Seconds that running statements get to end when the platform stops."""

MEMORY_SHARE = 0.6
"""The part of the machine's memory that the embedded engine gets unless told otherwise."""

LOCK_ATTEMPTS = 5


@dataclass
class Parts:
    """The parts of a running platform."""

    database: Database
    store: ObjectStore
    catalog: Catalog
    access: Access
    ledger: Ledger
    engine: DuckDBEngine
    gateway: Gateway
    staging: StagingArea


class Platform:
    """A platform in a folder.

    Args:
        settings: how it runs.
        serve: whether to listen for HTTP.
        clock: the time; tests pass their own.
    """

    def __init__(
        self, settings: Settings, *, serve: bool = True, clock: Clock = system_clock
    ) -> None:
        self.settings = settings
        self.first_secret: str | None = None
        self.when_locked: Callable[[], None] = lambda: None
        """Called once the folder is ours: what writes into it may begin."""
        self._serve = serve
        self._clock = clock
        self._stack = contextlib.ExitStack()
        self._parts: Parts | None = None
        self._listener: Listener | None = None

    @property
    def parts(self) -> Parts:
        """The parts; only while it runs."""
        if self._parts is None:
            raise ConfigurationInvalid("the platform is not running")
        return self._parts

    @property
    def gateway(self) -> Gateway:
        return self.parts.gateway

    @property
    def url(self) -> str:
        """The base URL of its HTTP API; only while it serves."""
        if self._listener is None:
            raise ConfigurationInvalid("the platform does not listen for HTTP")
        return self._listener.url

    def start(self) -> Platform:
        """Start every part; if one fails, stop what was started.

        Raises:
            PlatformInUse: if another platform runs in the folder.
            ConfigurationInvalid, StateUnavailable, StorageFailed
        """
        with contextlib.ExitStack() as stack:
            self._make_folder()
            stack.enter_context(folder_lock(self.settings.dir))
            self.when_locked()
            self._parts = self._build(stack)
            if self._serve:
                self._listen(stack)
            self.first_secret = self._parts.access.bootstrap()
            self._stack = stack.pop_all()
        return self

    def stop(self) -> None:
        """Stop every part. Idempotent."""
        self._stack.close()
        self._parts = None
        self._listener = None

    def admin_session(self) -> Session:
        """A session of the local administrator: who may read the folder may do everything."""
        principal = self.parts.access.principal("admin")
        return self.gateway.open_session(
            principal, Client(Protocol.EMBEDDED, application="local"), lasting=True
        )

    def __enter__(self) -> Platform:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- within ---

    def _make_folder(self) -> None:
        try:
            self.settings.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in ("spill", "staging", "audit"):
                folder = self.settings.dir / name
                folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StorageFailed(
                f"{self.settings.dir} cannot be written: {error.strerror}"
            ) from None

    def _build(self, stack: contextlib.ExitStack) -> Parts:
        settings, clock = self.settings, self._clock
        database = self.open_database(stack)
        migrate(database)
        store = open_store(settings.warehouse_location, s3=s3_credentials(settings))
        keys = PlatformKeys.open(settings.dir / "keys")
        catalog = Catalog(database, store, clock=clock, warehouse=settings.warehouse_location)
        access = Access(database, clock, keys.key("access"))
        ledger = Ledger(
            database,
            clock,
            keys.key("ledger"),
            checkpoints=settings.dir / "audit" / "checkpoints.jsonl",
        )
        stack.callback(ledger.stop)
        ledger.recover()
        engine, bindings, port = self._engine(stack, store)
        gateway = Gateway(
            database=database,
            catalog=catalog,
            access=access,
            ledger=ledger,
            engine=engine,
            bindings=bindings,
            refusal=port.take_error,
            clock=clock,
            limits=Limits(
                time_s=settings.statement_time_s, statement_bytes=settings.statement_bytes
            ),
            statements_max=settings.statements,
        )
        stack.callback(gateway.close)
        stack.enter_context(swept(catalog))
        staging = StagingArea(settings.dir / "staging", settings.staging_bytes)
        return Parts(database, store, catalog, access, ledger, engine, gateway, staging)

    def open_database(self, stack: contextlib.ExitStack) -> Database:
        """PostgreSQL, started if it is the embedded one."""
        if self.settings.postgres_dsn:
            conninfo = self.settings.postgres_dsn
        else:
            server = EmbeddedPostgres(self.settings.dir / "postgres")
            stack.callback(server.stop)
            server.start()
            stack.enter_context(server.watched())
            conninfo = server.conninfo
        database = Database(conninfo, pool_max=self.settings.postgres_connections)
        stack.callback(database.close)
        return database

    def _engine(
        self, stack: contextlib.ExitStack, store: ObjectStore
    ) -> tuple[DuckDBEngine, WriteBindings, EnginePort]:
        settings = self.settings
        memory = settings.memory or f"{int(psutil.virtual_memory().total * MEMORY_SHARE)}B"
        spill = settings.dir / "spill"
        for left in spill.iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        engine = DuckDBEngine(
            EngineLimits(
                memory=memory,
                threads=settings.threads or None,
                spill=settings.spill or None,
                writers=settings.writers,
                statements=settings.statements,
            ),
            temporary=spill,
            allowed=[store.root],
            object_store=_engine_access(settings),
        )
        stack.callback(engine.close)
        bindings = WriteBindings()
        port = EnginePort(bindings, [slot.token for slot in engine.slots])
        port.start()
        stack.callback(port.stop)
        engine.attach(port.endpoint)
        return engine, bindings, port

    def _listen(self, stack: contextlib.ExitStack) -> None:
        parts, settings = self.parts, self.settings
        application = create_application(
            ServerParts(
                gateway=parts.gateway,
                access=parts.access,
                ledger=parts.ledger,
                staging=parts.staging,
                readiness=self.checks(),
                storage=_storage_offer(settings),
                version=version("lakehold"),
            )
        )
        listener = Listener(
            application,
            Address(
                settings.http_host,
                settings.http_port,
                settings.tls_certificate,
                settings.tls_private_key,
            ),
        )
        listener.start()
        stack.callback(self._end_service, listener, parts.gateway)
        self._listener = listener
        note = settings.dir / "url"
        note.write_text(listener.url + "\n")
        stack.callback(note.unlink, missing_ok=True)

    def _end_service(self, listener: Listener, gateway: Gateway) -> None:
        """Take no more requests, let statements end for ``GRACE_S``, and stop those that stay."""
        ending = threading.Thread(target=listener.stop, name="lakehold-http-end")
        ending.start()
        until = time.monotonic() + GRACE_S
        while ending.is_alive() and time.monotonic() < until:
            ending.join(0.05)
        gateway.statements_running.stop_all(StatementCancelled("the platform is being stopped"))
        ending.join()

    def checks(self) -> dict[str, Callable[[], object]]:
        """By part, a check that raises if it cannot be used."""
        parts = self.parts
        return {
            "postgres": parts.database.check,
            "engine": lambda: parts.engine.run("SELECT 1").start().rows(),
            "warehouse": lambda: _check_warehouse(parts.store),
        }


def _check_warehouse(store: ObjectStore) -> None:
    """Write and delete a small file."""
    location = f"{store.root.rstrip('/')}/.lakehold-check-{uuid.uuid4().hex}"
    store.write(location, b"check")
    store.delete(location)


@contextlib.contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold the folder for one platform.

    Raises:
        PlatformInUse: naming the process that holds it.
    """
    path = folder / "lakehold.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _take(descriptor):
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "another process"
            raise PlatformInUse(
                f"a platform runs in {folder} already (process {holder})",
                hint=f"lakehold down --dir {folder} stops it",
            )
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
        os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    """Lock a file for ourselves; tried for a moment, since ``folder_holder`` looks by locking."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False


def folder_holder(folder: Path) -> int | None:
    """The process of the platform that runs in a folder, if one does."""
    try:
        descriptor = os.open(folder / "lakehold.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        text = os.read(descriptor, 32).decode(errors="replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None


def migrate_only(settings: Settings) -> list[str]:
    """Bring the database of a folder to this version without starting the platform.

    Returns:
        The names of the migrations that were applied.

    Raises:
        PlatformInUse, ConfigurationInvalid, StateUnavailable
    """
    with contextlib.ExitStack() as stack:
        settings.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        stack.enter_context(folder_lock(settings.dir))
        database = Platform(settings, serve=False).open_database(stack)
        return [f"{step.number:04}_{step.name}" for step in migrate(database)]


def s3_credentials(settings: Settings) -> S3Credentials | None:
    """Access to the warehouse on S3; ``None`` for a local one."""
    if not settings.is_s3:
        return None
    return S3Credentials(
        region=settings.s3_region,
        endpoint=settings.s3_endpoint or None,
        access_key_id=settings.s3_key_id or None,
        secret_access_key=settings.s3_secret or None,
        session_token=settings.s3_session_token or None,
    )


def _engine_access(settings: Settings) -> ObjectStoreAccess | None:
    if not settings.is_s3:
        return None
    endpoint = settings.s3_endpoint
    host = endpoint.partition("://")[2] or endpoint
    return ObjectStoreAccess(
        scope=settings.warehouse,
        region=settings.s3_region,
        endpoint=host or None,
        key_id=settings.s3_key_id or None,
        secret=settings.s3_secret or None,
        session_token=settings.s3_session_token or None,
        use_tls=not endpoint.startswith("http://"),
        path_style=bool(endpoint),
    )


def _storage_offer(settings: Settings) -> StorageOffer:
    if not settings.is_s3:
        return StorageOffer(prefix=settings.warehouse_location)
    offered = {"s3.region": settings.s3_region}
    if settings.s3_endpoint:
        offered |= {"s3.endpoint": settings.s3_endpoint, "s3.path-style-access": "true"}
    secrets = {}
    if settings.s3_vend_credentials and settings.s3_key_id:
        secrets = {
            "s3.access-key-id": settings.s3_key_id,
            "s3.secret-access-key": settings.s3_secret,
        }
    return StorageOffer(prefix=settings.warehouse, settings=offered, credentials=secrets)
