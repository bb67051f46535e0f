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
from typing import Any

import duckdb
import pyarrow as pa

from lakehold.engines.duckdb.errors import from_duckdb
from lakehold.engines.result import EngineColumn
from lakehold.errors import ConfigurationInvalid, TooManyRequests

EXTENSIONS = ("httpfs", "avro", "icu", "iceberg")
"""The extensions that are loaded, in the order that their dependencies ask for."""

BATCH_ROWS = 122_880
"""Rows in a record batch: one DuckDB row group."""

Parameters = Sequence[Any] | Mapping[str, Any] | None
Relation = pa.Table | pa.RecordBatchReader


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


class DuckDBEngine:
    """Runs SQL that is already governed.

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
        self._allowed = tuple(allowed)
        self._slots: queue.LifoQueue[WriterSlot] = queue.LifoQueue()
        self._slot_count = limits.writers
        self._lock = threading.Lock()
        self._database = duckdb.connect(":memory:", config=_configuration(limits, temporary))
        for name in EXTENSIONS:
            self._database.execute(f"LOAD '{extension_path(name)}'")
        self._database.execute("SET TimeZone = 'UTC'")
        self._database.execute("SET GLOBAL http_keep_alive = true")
        if object_store is not None:
            self._database.execute(_secret(object_store))
        self._cursors: queue.LifoQueue[duckdb.DuckDBPyConnection] = queue.LifoQueue()
        for _ in range(limits.statements):
            self._cursors.put(self._new_cursor())

    def attach(self, endpoint: str) -> tuple[WriterSlot, ...]:
        """Attach the writer slots to the catalog at ``endpoint``; then lock the instance.

        Args:
            endpoint: base URL of the catalog for engines, on the loopback interface.

        Returns:
            The slots, whose tokens the endpoint must know before this returns: it is told
            through ``slots``. Use ``new_slots`` first.
        """
        slots = self.slots
        for slot in slots:
            self._database.execute(
                f"ATTACH 'lake' AS {slot.catalog} (TYPE iceberg, ENDPOINT '{endpoint}', "
                f"TOKEN '{slot.token}')"
            )
            self._slots.put(slot)
        self.lock()
        return slots

    @property
    def slots(self) -> tuple[WriterSlot, ...]:
        """The writer slots, made once."""
        with self._lock:
            if not hasattr(self, "_all_slots"):
                self._all_slots = tuple(
                    WriterSlot(f"w{number}_{secrets.token_hex(4)}", secrets.token_urlsafe(32))
                    for number in range(self._slot_count)
                )
            return self._all_slots

    def lock(self) -> None:
        """Close the instance to anything but the allowed places. Cannot be undone."""
        directories = ", ".join("'" + place.replace("'", "''") + "'" for place in self._allowed)
        self._database.execute(f"SET allowed_directories = [{directories}]")
        self._database.execute("SET enable_external_access = false")
        self._database.execute("SET lock_configuration = true")

    @contextmanager
    def writer(self, timeout_s: float) -> Iterator[WriterSlot]:
        """Borrow a writer slot.

        Raises:
            TooManyRequests: if none becomes free in time.
        """
        try:
            slot = self._slots.get(timeout=timeout_s)
        except queue.Empty:
            raise TooManyRequests(
                f"{self._slot_count} statements are writing already", retry_after_s=1
            ) from None
        try:
            yield slot
        finally:
            self._slots.put(slot)

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
        try:
            cursor = self._cursors.get(timeout=timeout_s)
        except queue.Empty:
            raise TooManyRequests("too many statements are running", retry_after_s=1) from None
        return DuckDBResult(cursor, sql, parameters, relations or {}, self._cursors.put)

    def _new_cursor(self) -> duckdb.DuckDBPyConnection:
        """A cursor with its own settings, made before the instance is locked."""
        cursor = self._database.cursor()
        cursor.execute("SET enable_progress_bar = true")
        cursor.execute("SET enable_progress_bar_print = false")
        return cursor

    def close(self) -> None:
        """Close the instance; running statements fail."""
        with suppress(duckdb.Error):
            self._database.interrupt()
        self._database.close()


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
        give_back: Callable[[duckdb.DuckDBPyConnection], None],
    ) -> None:
        self._cursor = cursor
        self._sql = sql
        self._parameters = parameters
        self._relations = relations
        self._give_back = give_back
        self._lock = threading.Lock()
        self._closed = False
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
                    raise from_arrow(error) from None
                if batch.num_rows:
                    yield batch
        finally:
            self.close()

    def affected(self) -> int:
        """The number of rows that an INSERT, UPDATE, DELETE or MERGE reports."""
        count = 0
        for batch in self.batches():
            for value in batch.column(0).to_pylist():
                count += int(value or 0)
        return count

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
    if limits.spill is not None:
        configuration["max_temp_directory_size"] = limits.spill
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
