"""The embedded engine: one locked-down DuckDB instance, a cursor per statement.

The second wall (the first is the gateway's rewriter): no extension beyond those shipped as
wheels, no file outside of the allowed places, no change of configuration after start.
"""

from __future__ import annotations

import importlib.util
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import duckdb
import pyarrow as pa
import structlog

from lakehold.engines.duckdb.errors import from_duckdb
from lakehold.engines.result import EngineColumn
from lakehold.errors import (
    ConfigurationInvalid,
    InvalidValue,
    StatementCancelled,
    TooManyRequests,
)

log = structlog.get_logger(__name__)

EXTENSIONS = ("httpfs", "avro", "icu", "iceberg")
"""The extensions that are loaded, in the order that their dependencies ask for."""

BATCH_ROWS = 122_880
"""Rows in a record batch: one DuckDB row group."""

Parameters = Sequence[Any] | Mapping[str, Any] | None
Relation: TypeAlias = pa.Table | pa.RecordBatchReader


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the whole engine may use.

    Attributes:
        memory: for example ``"8GB"``; ``None`` leaves DuckDB's 80 % of the machine.
        threads: worker threads; ``None`` for one a core.
        spill: size of temporary files, for example ``"50GB"``.
        writers: statements that may write at the same time.
        statements: statements that may run at the same time, writers among them.
    """

    memory: str | None = None
    threads: int | None = None
    spill: str | None = None
    writers: int = 8
    statements: int = 64


@dataclass(frozen=True, slots=True)
class ObjectStoreAccess:
    """How the engine reaches an S3-compatible store.

    Attributes:
        scope: the prefix that it may reach, ``s3://bucket/prefix``.
        endpoint: host and port, without a scheme; ``None`` for AWS.
    """

    scope: str
    region: str = "us-east-1"
    endpoint: str | None = None
    key_id: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    use_tls: bool = True
    path_style: bool = True


@dataclass(frozen=True, slots=True)
class WriterSlot:
    """A place from which one statement at a time writes.

    Attributes:
        catalog: the name under which the slot's catalog is attached.
        token: the bearer token with which DuckDB calls the catalog from this slot.
    """

    catalog: str
    token: str = field(repr=False)


class _Instance:
    """One DuckDB with its cursors; locked once it is attached to the catalog."""

    def __init__(self, limits: EngineLimits, temporary: Path, access: ObjectStoreAccess | None):
        self.database = duckdb.connect(":memory:", config=_configuration(limits, temporary))
        for name in EXTENSIONS:
            self.database.execute(f"LOAD '{extension_path(name)}'")
        self.database.execute("SET TimeZone = 'UTC'")
        if limits.spill is not None:
            # As configuration at the start it is shown, and not kept (DuckDB 1.5.5).
            size = limits.spill.replace("'", "''")
            self.database.execute(f"SET max_temp_directory_size = '{size}'")
        if access is not None:
            self.database.execute(_secret(access))
        self.cursors: queue.LifoQueue[duckdb.DuckDBPyConnection] = queue.LifoQueue()
        for _ in range(limits.statements):
            self.cursors.put(self._new_cursor())

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor with its own settings, made before the instance is locked."""
        cursor = self.database.cursor()
        cursor.execute("SET TimeZone = 'UTC'")  # a cursor does not take it from its parent
        cursor.execute("SET enable_progress_bar = true")
        cursor.execute("SET enable_progress_bar_print = false")
        return cursor

    def attach(self, slots: Sequence[WriterSlot], endpoint: str) -> None:
        for slot in slots:
            self.database.execute(
                f"ATTACH 'lake' AS {slot.catalog} (TYPE iceberg, ENDPOINT '{endpoint}', "
                f"TOKEN '{slot.token}')"
            )

    def lock(self, allowed: Sequence[str]) -> None:
        """Close the instance to anything but the allowed places. Cannot be undone."""
        directories = ", ".join("'" + place.replace("'", "''") + "'" for place in allowed)
        self.database.execute(f"SET allowed_directories = [{directories}]")
        self.database.execute("SET enable_external_access = false")
        self.database.execute("SET lock_configuration = true")


class DuckDBEngine:
    """Runs SQL that is already governed.

    An internal error makes DuckDB refuse everything that follows ("database has been
    invalidated"); the instance is then built anew, and only the statement that hit it fails.

    Args:
        limits: memory, threads, spill and writers.
        temporary: folder for spill files.
        allowed: folders or prefixes that may be read and written.
        object_store: access to S3, where the warehouse is there.
    """

    name = "duckdb"

    def __init__(
        self,
        limits: EngineLimits,
        *,
        temporary: Path,
        allowed: Sequence[str],
        object_store: ObjectStoreAccess | None = None,
    ) -> None:
        self._limits = limits
        self._temporary = temporary
        self._allowed = tuple(allowed)
        self._object_store = object_store
        self._endpoint: str | None = None
        self._lock = threading.Lock()
        self._free: queue.LifoQueue[WriterSlot] = queue.LifoQueue()
        self.slots = tuple(
            WriterSlot(f"w{number}_{secrets.token_hex(4)}", secrets.token_urlsafe(32))
            for number in range(limits.writers)
        )
        for slot in self.slots:
            self._free.put(slot)
        self._instance = _Instance(limits, temporary, object_store)

    def attach(self, endpoint: str) -> None:
        """Attach the writer slots to the catalog at ``endpoint``; then lock the instance.

        Args:
            endpoint: base URL of the catalog for engines, on the loopback interface, which
                knows the tokens of ``slots``.
        """
        self._endpoint = endpoint
        self._instance.attach(self.slots, endpoint)
        self.lock()

    def lock(self) -> None:
        """Close the instance to anything but the allowed places. Cannot be undone."""
        self._instance.lock(self._allowed)

    @contextmanager
    def writer(self, timeout_s: float) -> Iterator[WriterSlot]:
        """Borrow a writer slot.

        Raises:
            TooManyRequests: if none becomes free in time.
        """
        try:
            slot = self._free.get(timeout=timeout_s)
        except queue.Empty:
            raise TooManyRequests(
                f"{len(self.slots)} statements are writing already", retry_after_s=1
            ) from None
        try:
            yield slot
        finally:
            self._free.put(slot)

    def run(
        self,
        sql: str,
        parameters: Parameters = None,
        *,
        relations: Mapping[str, Relation] | None = None,
        timeout_s: float = 10.0,
    ) -> DuckDBResult:
        """Prepare one statement on a cursor of its own; ``start`` runs it.

        Args:
            sql: governed SQL.
            parameters: values for ``$1`` … or ``$name``.
            relations: Arrow data that the statement may name.
            timeout_s: seconds to wait for a free cursor.

        Raises:
            TooManyRequests: if none becomes free in time.
        """
        instance = self._instance
        try:
            cursor = instance.cursors.get(timeout=timeout_s)
        except queue.Empty:
            raise TooManyRequests("too many statements are running", retry_after_s=1) from None
        return DuckDBResult(
            cursor,
            sql,
            parameters,
            relations or {},
            give_back=instance.cursors.put,
            broken=lambda: self._renew(instance),
        )

    def _renew(self, broken: _Instance) -> None:
        """Build a new instance in the place of one that DuckDB has invalidated."""
        with self._lock:
            if self._instance is not broken:
                return
            log.error("engine_renewed", reason="DuckDB invalidated its instance")
            fresh = _Instance(self._limits, self._temporary, self._object_store)
            if self._endpoint is not None:
                fresh.attach(self.slots, self._endpoint)
            fresh.lock(self._allowed)
            self._instance = fresh

    def close(self) -> None:
        """Close the instance; running statements fail."""
        with suppress(duckdb.Error):
            self._instance.database.interrupt()
        self._instance.database.close()


class DuckDBResult:
    """A statement that runs on a cursor of its own.

    ``start`` runs it; until then nothing happens, so that ``interrupt`` can be handed out
    before the statement begins.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        sql: str,
        parameters: Parameters,
        relations: Mapping[str, Relation],
        *,
        give_back: Callable[[duckdb.DuckDBPyConnection], None],
        broken: Callable[[], None],
    ) -> None:
        self._cursor = cursor
        self._sql = sql
        self._parameters = parameters
        self._relations = relations
        self._give_back = give_back
        self._broken = broken
        self._lock = threading.Lock()
        self._closed = False
        self._interrupted = False
        self._reader: pa.RecordBatchReader | None = None
        self._columns: tuple[EngineColumn, ...] = ()

    def start(self) -> DuckDBResult:
        """Run the statement up to its first rows."""
        try:
            for name, relation in self._relations.items():
                self._cursor.register(name, relation)
            if self._parameters:
                self._cursor.execute(self._sql, self._parameters)
            else:
                self._cursor.execute(self._sql)
            self._columns = tuple(
                EngineColumn(str(item[0]), str(item[1])) for item in self._cursor.description or ()
            )
            self._reader = self._cursor.to_arrow_reader(BATCH_ROWS)
        except BaseException as error:
            self.close()
            self._check_broken(error)
            if isinstance(error, duckdb.Error | pa.ArrowException | RuntimeError):
                raise from_duckdb(error) from None
            raise
        return self

    @property
    def columns(self) -> tuple[EngineColumn, ...]:
        return self._columns

    @property
    def schema(self) -> pa.Schema:
        assert self._reader is not None
        return self._reader.schema

    def batches(self) -> Iterator[pa.RecordBatch]:
        assert self._reader is not None
        try:
            while True:
                try:
                    batch = self._reader.read_next_batch()
                except StopIteration:
                    return
                except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as error:
                    self._check_broken(error)
                    raise self._cause(from_arrow(error)) from None
                if batch.num_rows:
                    yield batch
        finally:
            self.close()

    def _cause(self, error: BaseException) -> BaseException:
        """The error that made DuckDB stop, where it reports the stopping of its other threads."""
        if self._interrupted or not isinstance(error, StatementCancelled):
            return error
        try:
            assert self._reader is not None
            self._reader.read_next_batch()
        except (duckdb.Error, pa.ArrowException, OSError, RuntimeError) as second:
            found = from_arrow(second)
            if not isinstance(found, StatementCancelled):
                return found
        except StopIteration:
            pass
        return InvalidValue("the statement failed while its rows were made")

    def _check_broken(self, error: BaseException) -> None:
        """DuckDB refuses everything after an internal error; then a new instance is needed."""
        fatal = isinstance(error, duckdb.InternalException | duckdb.FatalException)
        if fatal or "has been invalidated" in str(error):
            self._broken()

    def affected(self) -> int:
        """The number of rows that an INSERT, UPDATE, DELETE or MERGE reports."""
        count = 0
        for batch in self.batches():
            for value in batch.column(0).to_pylist():
                count += int(value or 0)
        return count

    def rows(self) -> list[tuple[Any, ...]]:
        """All rows as Python values, for results known to be small."""
        found: list[tuple[Any, ...]] = []
        for batch in self.batches():
            columns = [column.to_pylist() for column in batch.columns]
            found.extend(zip(*columns, strict=True))
        return found

    def progress(self) -> float | None:
        with self._lock:
            if self._closed:
                return None
            with suppress(duckdb.Error):
                done = float(self._cursor.query_progress())
                return None if done < 0 else min(done / 100, 1.0)
        return None

    def interrupt(self) -> None:
        with self._lock:
            self._interrupted = True
            if not self._closed:
                with suppress(duckdb.Error):
                    self._cursor.interrupt()

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
        # Whatever still streams is stopped; then the cursor forgets it and its relations.
        with suppress(Exception):
            if self._reader is not None:
                self._reader.close()
        with suppress(Exception):
            self._cursor.interrupt()
        for name in self._relations:
            with suppress(Exception):
                self._cursor.unregister(name)
        self._give_back(self._cursor)


def from_arrow(error: BaseException) -> BaseException:
    """Find DuckDB's error in what Arrow made of it while streaming."""
    text = str(error)
    for mark, kind in (
        ("INTERRUPT Error", duckdb.InterruptException),
        ("Interrupted", duckdb.InterruptException),
        ("Out of Memory Error", duckdb.OutOfMemoryException),
        ("Conversion Error", duckdb.ConversionException),
        ("Out of Range Error", duckdb.OutOfRangeException),
        ("Invalid Input Error", duckdb.InvalidInputException),
        ("IO Error", duckdb.IOException),
        ("HTTP Error", duckdb.HTTPException),
        ("Constraint Error", duckdb.ConstraintException),
    ):
        if mark in text:
            return from_duckdb(kind(text[text.index(mark) :]))
    return from_duckdb(error)


def extension_path(name: str) -> Path:
    """The file of an extension inside of its wheel.

    Raises:
        ConfigurationInvalid: if the wheel is not installed, or is of another DuckDB version.
    """
    package = f"duckdb_extension_{name}"
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ConfigurationInvalid(
            f"the DuckDB extension {name} is not installed",
            hint=f"pip install duckdb-extension-{name}=={duckdb.__version__}",
        )
    folder = Path(next(iter(found.submodule_search_locations)))
    path = folder / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    if not path.exists():
        raise ConfigurationInvalid(
            f"the DuckDB extension {name} is not of DuckDB {duckdb.__version__}",
            hint=f"pip install duckdb-extension-{name}=={duckdb.__version__}",
        )
    return path


def _configuration(limits: EngineLimits, temporary: Path) -> dict[str, Any]:
    configuration: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_unsigned_extensions": "false",
        "python_enable_replacements": "false",
        "temp_directory": str(temporary),
    }
    if limits.memory is not None:
        configuration["memory_limit"] = limits.memory
    if limits.threads is not None:
        configuration["threads"] = limits.threads
    return configuration


def _secret(access: ObjectStoreAccess) -> str:
    """CREATE SECRET for the warehouse, scoped to it."""

    def literal(value: str) -> str:
        return "'" + value.replace("'", "''") + "'"

    options = [
        "TYPE s3",
        f"SCOPE {literal(access.scope)}",
        f"REGION {literal(access.region)}",
        f"USE_SSL {'true' if access.use_tls else 'false'}",
        f"URL_STYLE {literal('path' if access.path_style else 'vhost')}",
    ]
    if access.endpoint:
        options.append(f"ENDPOINT {literal(access.endpoint)}")
    if access.key_id and access.secret:
        options += [f"KEY_ID {literal(access.key_id)}", f"SECRET {literal(access.secret)}"]
    if access.session_token:
        options.append(f"SESSION_TOKEN {literal(access.session_token)}")
    return f"CREATE SECRET warehouse ({', '.join(options)})"
