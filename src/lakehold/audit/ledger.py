"""The public face of the ledger.

A statement is *opened* before its first row can leave: its start is durable then. It is
*closed* into the chain when it ends, by exactly one record; if the platform dies in
between, the next start closes it as ``interrupted``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa

from lakehold.audit import store
from lakehold.audit.chain import next_hash
from lakehold.audit.checkpoints import Checkpoints
from lakehold.audit.record import (
    INTERRUPTED,
    StatementOutcome,
    StatementStart,
    StatementTicket,
    encode,
    moment,
    record_body,
    start_body,
)
from lakehold.audit.verification import Verification, verify_chain
from lakehold.clock import Clock
from lakehold.errors import LakeholdError, LedgerUnavailable, StateUnavailable
from lakehold.state import Connection, Database

CHECKPOINT_EVERY = 1_000
"""Records between two checkpoints; the last ones before a crash are covered by none."""

BATCH_MAX = 500
"""Records that share a commit at most."""

SCHEMA = pa.schema(
    [
        ("seq", pa.int64()),
        ("statement_id", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("principal", pa.string()),
        ("roles", pa.list_(pa.string())),
        ("purpose", pa.string()),
        ("protocol", pa.string()),
        ("address", pa.string()),
        ("application", pa.string()),
        ("session_id", pa.string()),
        ("kind", pa.string()),
        ("statement", pa.string()),
        ("fingerprint", pa.string()),
        ("decision", pa.string()),
        ("reason", pa.string()),
        ("status", pa.string()),
        ("sqlstate", pa.string()),
        ("error", pa.string()),
        ("reads", pa.string()),
        ("writes", pa.string()),
        ("engine", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("duration_ms", pa.float64()),
    ]
)
"""The columns of the governed table ``lakehold.ledger``."""


class _Waiting:
    """A record that waits for its turn in a shared commit."""

    def __init__(self, start: dict[str, Any], outcome: StatementOutcome, opened: bool) -> None:
        self.start, self.outcome, self.opened = start, outcome, opened
        self.done = threading.Event()
        self.error: BaseException | None = None


class Ledger:
    """The append-only log. Thread safe.

    Args:
        key: the platform's key for the chain; it is not in PostgreSQL.
        checkpoints: the file for signed checkpoints; ``None`` for none (tests).
    """

    def __init__(
        self, database: Database, clock: Clock, key: bytes, *, checkpoints: Path | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._checkpoints = Checkpoints(checkpoints, key) if checkpoints else None
        self._queue: list[_Waiting] = []
        self._queue_lock = threading.Lock()
        self._leading = threading.Lock()
        self._since_checkpoint = 0
        self._stack = ExitStack()
        self._instance_lock = threading.Lock()
        self._instance_number: int | None = None

    # --- writing ---

    def open(self, conn: Connection | None, start: StatementStart) -> StatementTicket:
        """Make a statement's start durable: with the caller's transaction, or at once.

        Raises:
            LedgerUnavailable
        """
        body = encode(start_body(start))
        instance = self._instance()
        with _reachable():
            if conn is not None:
                with store.reachable():
                    store.open_statement(conn, start.id, instance, body)
            else:
                with self._database.transaction() as own:
                    store.open_statement(own, start.id, instance, body)
        return StatementTicket(start, body)

    def close(
        self,
        ticket: StatementTicket,
        outcome: StatementOutcome,
        conn: Connection | None = None,
    ) -> None:
        """Complete an opened statement's record: with the caller's transaction, or at once.

        Raises:
            LedgerUnavailable
        """
        self._write(msgspec.json.decode(ticket.body), outcome, True, conn)

    def record(
        self, start: StatementStart, outcome: StatementOutcome, conn: Connection | None = None
    ) -> None:
        """Write the record of a statement that was never opened.

        Raises:
            LedgerUnavailable
        """
        self._write(start_body(start), outcome, False, conn)

    def recover(self) -> int:
        """Complete what platforms that are gone left open; returns how many records."""
        own = self._instance()
        with _reachable(), self._database.transaction() as conn:
            dead = store.dead_instances(conn, own)
            left = store.left_open(conn, dead)
            if left:
                starts = [
                    _Waiting(msgspec.json.decode(start), INTERRUPTED, True) for _, start in left
                ]
                self._append(conn, starts)
            store.forget_instances(conn, dead)
        return len(left)

    def stop(self) -> None:
        """Write a last checkpoint and give up the instance. Idempotent."""
        with suppress(LakeholdError):
            if self._checkpoints is not None and self._since_checkpoint:
                self._checkpoint()
        self._stack.close()
        self._instance_number = None

    # --- reading ---

    def verify(self) -> Verification:
        """Check the whole chain.

        Raises:
            LedgerUnavailable
        """
        with _reachable():
            # The checkpoints first: what is appended meanwhile must not look like missing.
            points, genuine = self._checkpoints.read() if self._checkpoints else ([], True)
            with self._database.transaction(read_only=True) as conn:
                head = store.head(conn)
            rows = store.records(self._database, upto=head[0])
            return verify_chain(rows, self._key, head, points, genuine)

    def read(self) -> pa.RecordBatchReader:
        """The records in order, as a stream of Arrow batches."""

        def batches() -> Iterator[pa.RecordBatch]:
            page: list[dict[str, Any]] = []
            for seq, _, at, body, _ in store.records(self._database):
                page.append(_row(seq, at, msgspec.json.decode(body)))
                if len(page) == 2000:
                    yield pa.RecordBatch.from_pylist(page, schema=SCHEMA)
                    page = []
            if page:
                yield pa.RecordBatch.from_pylist(page, schema=SCHEMA)

        return pa.RecordBatchReader.from_batches(SCHEMA, batches())

    def head(self) -> int:
        """The number of the last record."""
        with _reachable(), self._database.transaction(read_only=True) as conn:
            return store.head(conn)[0]

    # --- within ---

    def _write(
        self,
        start: dict[str, Any],
        outcome: StatementOutcome,
        opened: bool,
        conn: Connection | None,
    ) -> None:
        waiting = _Waiting(start, outcome, opened)
        if conn is not None:
            with _reachable(), store.reachable():
                self._append(conn, [waiting])
            return
        with self._queue_lock:
            self._queue.append(waiting)
        # Whoever gets the lead writes for all who came meanwhile; the others find it done.
        while not waiting.done.is_set():
            with self._leading:
                if not waiting.done.is_set():
                    self._lead()
        if waiting.error is not None:
            raise waiting.error

    def _lead(self) -> None:
        with self._queue_lock:
            batch, self._queue = self._queue[:BATCH_MAX], self._queue[BATCH_MAX:]
        error: BaseException | None = None
        try:
            with _reachable(), self._database.transaction() as conn, store.reachable():
                self._append(conn, batch)
        except BaseException as found:
            error = found
        for item in batch:
            item.error = error
            item.done.set()
        if error is None:
            self._maybe_checkpoint(len(batch))

    def _append(self, conn: Connection, batch: list[_Waiting]) -> None:
        """Add records to the chain, in the caller's transaction."""
        seq, before = store.lock_head(conn)
        rows = []
        for item in batch:
            seq += 1
            body = record_body(item.start, item.outcome)
            before = next_hash(self._key, seq, before, body)
            rows.append((seq, UUID(item.start["id"]), item.start["at"], body, before))
        store.append(conn, rows, [row[1] for row, i in zip(rows, batch, strict=True) if i.opened])

    def _maybe_checkpoint(self, added: int) -> None:
        self._since_checkpoint += added
        if self._checkpoints is not None and self._since_checkpoint >= CHECKPOINT_EVERY:
            with suppress(LakeholdError, OSError):
                self._checkpoint()

    def _checkpoint(self) -> None:
        assert self._checkpoints is not None
        with self._database.transaction(read_only=True) as conn:
            seq, hash_ = store.head(conn)
        if seq:
            self._checkpoints.add(seq, hash_, moment(self._clock()))
        self._since_checkpoint = 0

    def _instance(self) -> int:
        """This platform's number, whose lock is held on a connection of its own."""
        with self._instance_lock:
            if self._instance_number is None:
                self._stack.close()
                with _reachable():
                    with self._database.transaction() as conn:
                        number = store.new_instance(conn)
                    self._stack.enter_context(self._database.holding(store.INSTANCE_LOCK, number))
                self._instance_number = number
            return self._instance_number


@contextmanager
def _reachable() -> Iterator[None]:
    """Turn ``StateUnavailable`` into ``LedgerUnavailable``."""
    try:
        yield
    except StateUnavailable as error:
        raise LedgerUnavailable(
            "the ledger cannot be reached, so nothing may run", hint=error.hint
        ) from None


def _row(seq: int, at: Any, body: dict[str, Any]) -> dict[str, Any]:
    row = {name: body.get(name) for name in SCHEMA.names}
    row["seq"], row["statement_id"], row["at"] = seq, body["id"], at
    row["reads"] = msgspec.json.encode(body.get("reads", {})).decode()
    row["writes"] = msgspec.json.encode(body.get("writes", [])).decode()
    return row
