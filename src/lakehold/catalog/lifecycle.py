"""How a lake transaction lives: its connection, its turns at tables, savepoints, its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from threading import RLock
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid4

from lakehold.catalog import commit, store
from lakehold.catalog.overlay import Base, Change, Overlay, Pinned, SchemaChange
from lakehold.catalog.relation import Json, Pointer, Schema
from lakehold.errors import (
    CommitConflict,
    CommitUnknown,
    LakeholdError,
    TransactionInvalid,
    UndefinedTable,
)
from lakehold.names import TableName
from lakehold.state import Connection

if TYPE_CHECKING:
    from lakehold.catalog.resources import Resources

LOCK_TIMEOUT_S = 60.0
"""How long a writer waits for its turn at a table, unless it says otherwise."""


class TransactionState(StrEnum):
    """Where a transaction is in its life; ``unknown``: whether it was committed is not known."""

    OPEN = "open"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Savepoint:
    """Where ``rollback_to`` returns to."""

    transaction_id: UUID
    overlay: Overlay


@dataclass(frozen=True, slots=True)
class Touched:
    """A thing that a transaction made, changed or dropped."""

    id: UUID
    kind: Literal["schema", "table", "view"]
    name: str | TableName
    schema_id: UUID | None


class ConnectionBase:
    """The catalog as a PostgreSQL connection sees it."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn

    def schema(self, name: str) -> Schema | None:
        return store.schema_by_name(self._conn, name)

    def schemas(self) -> list[Schema]:
        return store.all_schemas(self._conn)

    def by_name(self, names: Collection[TableName]) -> list[Pointer]:
        return store.pointers_by_name(self._conn, names)

    def by_id(self, ids: Collection[UUID]) -> list[Pointer]:
        return store.pointers_by_id(self._conn, ids)

    def of_schemas(self, ids: Collection[UUID] | None) -> list[Pointer]:
        return store.pointers_of_schemas(self._conn, ids)


class TransactionLifecycle:
    """What a lake transaction is, apart from the changes that it can make."""

    def __init__(self, resources: Resources, pinned: Pinned | None) -> None:
        self.id = uuid4()
        self.state = TransactionState.OPEN
        self.began_at: datetime = resources.clock()
        self._resources = resources
        self._pinned = pinned
        self._overlay = Overlay()
        self._seen: dict[UUID, Pointer] = {}
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._locked: list[UUID] = []
        self._stack = ExitStack()
        self._connection: Connection | None = None
        self._mutex = RLock()

    # --- reading ------------------------------------------------------------------------

    def load(self, table: TableName | UUID) -> tuple[Json, str]:
        """The metadata of a table or view as this transaction sees it, and where it is."""
        pointer = self.find(table)
        if pointer is None:
            raise UndefinedTable("there is no such table")
        return self._metadata_of(pointer), pointer.metadata_location

    def find(self, table: TableName | UUID) -> Pointer | None:
        """A table or view as this transaction sees it."""
        with self._mutex:
            self._require_open()
            with self._base() as base:
                if isinstance(table, UUID):
                    found = self._overlay.pointer(base, table)
                else:
                    found = self._overlay.pointers(base, [table]).get(table)
            return self._first_seen(found) if found else None

    def pointers(self, ids: Collection[UUID]) -> dict[UUID, Pointer]:
        """Relations by id, all in one read; a commit from outside after it is a conflict."""
        with self._mutex:
            self._require_open()
            with self._base() as base:
                found = self._overlay.pointers_by_id(base, ids)
            return {identity: self._first_seen(pointer) for identity, pointer in found.items()}

    @contextmanager
    def view_over(self, conn: Connection) -> Iterator[tuple[Overlay, Base]]:
        """The overlay, and what it lies on: the pinned catalog, or what ``conn`` sees."""
        with self._mutex:
            self._require_open()
            yield self._overlay, self._pinned or ConnectionBase(conn)

    # --- taking turns -------------------------------------------------------------------

    def lock(self, table_ids: Collection[UUID], *, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        """Wait for the turn to write to tables; it lasts until the transaction ends.

        Raises:
            LockTimeout: if it has not come within ``timeout_s``.
            CommitConflict: if another has committed to one of them since this transaction's
                snapshot, or two transactions would wait for each other.
            StatementCancelled: if ``rollback`` was called meanwhile.
        """
        wanted = sorted(set(table_ids) - set(self._locked))
        if not wanted:
            return
        deadline = time.monotonic() + timeout_s
        taken: list[UUID] = []
        try:
            for table_id in wanted:
                if self._resources.queues.acquire(self.id, table_id, deadline):
                    taken.append(table_id)
            with self._mutex:
                self._require_open()
                self._lock_in_postgres(wanted, deadline)
                self._locked.extend(taken)
                taken = []
                self._check_unchanged(wanted)
        finally:
            for table_id in taken:
                self._resources.queues.release(self.id, table_id)

    def holds(self, table_id: UUID) -> bool:
        """Whether it is this transaction's turn at a table."""
        return table_id in self._locked

    def _lock_in_postgres(self, table_ids: Sequence[UUID], deadline: float) -> None:
        first = self._connection is None
        conn = self._connect()
        timeout_ms = max(int((deadline - time.monotonic()) * 1000), 1)
        try:
            with ExitStack() as nested:
                if not first:
                    nested.enter_context(conn.transaction())
                store.lock_tables(conn, table_ids, timeout_ms=timeout_ms)
        except BaseException as error:
            if first or conn.broken:
                self._disconnect(error)
            raise

    def _check_unchanged(self, table_ids: Sequence[UUID]) -> None:
        """First committer wins: what this transaction has seen must still be so."""
        conn = self._connect()
        known = {i: c.before for i, c in self._overlay.relations.items() if c.before is not None}
        if self._pinned is not None:
            known = {p.id: p for p in self._pinned.by_id(table_ids)} | known
        for table_id in table_ids:
            self._seen.pop(table_id, None)
        checked = [table_id for table_id in table_ids if table_id in known]
        if not checked:
            return
        now = {p.id: p for p in store.pointers_by_id(conn, checked)}
        for table_id in checked:
            current, before = now.get(table_id), known[table_id]
            if current is None or current.metadata_location != before.metadata_location:
                raise CommitConflict(
                    f"another transaction has changed {before.name} since this one began",
                    hint="roll back and run it again",
                )

    # --- savepoints and the end ----------------------------------------------------------

    def savepoint(self) -> Savepoint:
        """Remember the present state, so that a failed statement can be undone alone."""
        with self._mutex:
            self._require_open()
            return Savepoint(self.id, self._overlay.copy())

    def rollback_to(self, savepoint: Savepoint) -> None:
        """Return to a savepoint; the turns at tables are kept."""
        with self._mutex:
            self._require_open()
            if savepoint.transaction_id != self.id:
                raise TransactionInvalid("the savepoint is of another transaction")
            self._overlay = savepoint.overlay.copy()

    def commit(self, extra: Callable[[Connection], None] | None = None) -> None:
        """Make all changes visible in one PostgreSQL transaction, together with ``extra``.

        Raises:
            CommitConflict: if another commit came first; nothing was done.
            CommitUnknown: if PostgreSQL vanished at the last moment and has not come back.
        """
        with self._mutex:
            self._require_open()
            try:
                conn = self._connect()
                commit.apply(conn, self._overlay, pinned=self._pinned is not None)
                xid = store.transaction_id(conn)
                if extra is not None:
                    extra(conn)
            except BaseException as error:
                self._end(TransactionState.ROLLED_BACK, error)
                raise
            self._connection = None
            try:
                self._stack.close()
            except Exception as error:
                self._after_lost_answer(xid, error)
            self._end(TransactionState.COMMITTED)

    def _after_lost_answer(self, xid: str, error: Exception) -> None:
        """PostgreSQL did not say whether it committed; return if it did."""
        outcome = commit.outcome(self._resources.database, xid)
        if outcome == "unknown":
            self._end(TransactionState.UNKNOWN)
            raise commit.unknown() from error
        if outcome == "aborted":
            self._end(TransactionState.ROLLED_BACK)
            raise commit.undone() if isinstance(error, CommitUnknown) else error

    def rollback(self) -> None:
        """Undo everything; nothing happens if the transaction has ended."""
        self._resources.queues.cancel(self.id)
        with self._mutex:
            if self.state is TransactionState.OPEN:
                with suppress(LakeholdError):
                    self._end(TransactionState.ROLLED_BACK, TransactionInvalid("rolled back"))

    def _end(self, state: TransactionState, error: BaseException | None = None) -> None:
        self.state = state
        try:
            if error is not None:
                self._disconnect(error)
        finally:
            for table_id in self._locked:
                self._resources.queues.release(self.id, table_id)
            self._locked.clear()
            self._resources.ended(self.id)
            if state is not TransactionState.UNKNOWN:
                live = self._overlay if state is TransactionState.COMMITTED else Overlay()
                commit.clean(self._resources, live, self._files, self._folders)
            if state is TransactionState.COMMITTED:
                commit.purge(self._resources, self._overlay)

    # --- what others ask ------------------------------------------------------------------

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to commit."""
        return self._overlay.is_empty

    @property
    def created(self) -> tuple[Touched, ...]:
        """What this transaction made."""
        return self._touched(lambda change: change.before is None)

    @property
    def changed(self) -> tuple[Touched, ...]:
        """What was there before, and this transaction changed."""
        return self._touched(lambda change: change.before is not None and change.after is not None)

    @property
    def dropped(self) -> tuple[Touched, ...]:
        """What this transaction removed."""
        return self._touched(lambda change: change.after is None)

    def _touched(self, which: Callable[[Change | SchemaChange], bool]) -> tuple[Touched, ...]:
        found: list[Touched] = []
        with self._mutex:
            for schema_change in self._overlay.schemas.values():
                schema = schema_change.after or schema_change.before
                if schema is not None and which(schema_change):
                    found.append(Touched(schema.id, "schema", schema.name, None))
            for change in self._overlay.relations.values():
                pointer = change.after or change.before
                if pointer is not None and which(change):
                    found.append(Touched(pointer.id, pointer.kind, pointer.name, pointer.schema_id))
        return tuple(found)

    # --- within ---------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One change at a time, and only in an open transaction."""
        with self._mutex:
            self._require_open()
            yield

    def _require_open(self) -> None:
        if self.state is not TransactionState.OPEN:
            raise TransactionInvalid(f"the transaction is {self.state} already")

    @contextmanager
    def _base(self) -> Iterator[Base]:
        """What the overlay lies on, for one operation."""
        if self._pinned is not None:
            yield self._pinned
        elif self._connection is not None:
            yield ConnectionBase(self._connection)
        else:
            with self._resources.database.transaction(read_only=True) as conn:
                yield ConnectionBase(conn)

    def _first_seen(self, pointer: Pointer) -> Pointer:
        """The pointer as this transaction saw it first, unless it changed it itself."""
        if pointer.id in self._overlay.relations:
            return pointer
        return self._seen.setdefault(pointer.id, pointer)

    def _metadata_of(self, pointer: Pointer) -> Json:
        return self._resources.files.read(pointer.metadata_location)

    def _connect(self) -> Connection:
        """The one connection that holds the locks and makes the commit."""
        if self._connection is None:
            self._connection = self._stack.enter_context(self._resources.database.transaction())
        return self._connection

    def _disconnect(self, error: BaseException) -> None:
        """Give the connection back without committing; may raise ``error``'s translation."""
        self._connection = None
        self._stack.__exit__(type(error), error, error.__traceback__)
