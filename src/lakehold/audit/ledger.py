"""The ledger's public face: open, close, recover, verify, read."""

from __future__ import annotations

import hmac
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pyarrow as pa
import structlog

from lakehold.audit import chain, reading, store
from lakehold.audit.chain import Head, Verification
from lakehold.audit.checkpoints import CheckpointForged, Checkpoints
from lakehold.audit.liveness import Liveness
from lakehold.audit.record import (
    StatementOutcome,
    StatementStart,
    moment,
    outcome_fields,
    seal_opened,
    start_fields,
)
from lakehold.audit.store import Conditions, Opened
from lakehold.clock import Clock
from lakehold.errors import CommitUnknown, LakeholdError, LedgerUnavailable
from lakehold.state import REPEATABLE_READ, Connection, Database

log = structlog.get_logger(__name__)

BATCH_MAX = 256
"""Records that one commit takes at most."""

RECOVER_ROWS = 500
"""Open statements of a dead instance that one transaction ends."""

RECOVER_S = 60.0
"""Seconds after which a living platform looks for the open statements of dead ones."""

CHECKPOINT_RECORDS = 1_000
"""Records after which a checkpoint is written."""

CHECKPOINT_S = 60.0
"""Seconds after which a checkpoint is written, if there is a record that it would cover."""

INTERRUPTED = StatementOutcome(
    status="interrupted",
    decision="allowed",
    reason="the platform stopped before the statement ended; how far it came is not known",
)


@dataclass(frozen=True, slots=True)
class StatementTicket:
    """A statement that was opened, to be closed with its outcome."""

    key: UUID
    start: dict[str, Any]


class _Entry:
    """A record that waits for its commit."""

    __slots__ = ("done", "error", "fields")

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields
        self.done = False
        self.error: BaseException | None = None


class Ledger:
    """The append-only, hash-chained ledger. Thread safe.

    Each statement has exactly one record, however often it is tried to write it. Records of
    one platform that are closed at the same time share a commit: whoever finds no one
    committing commits for all who wait.

    Args:
        key: of the chain; 32 bytes that PostgreSQL never sees.
        instance: what this run of the platform is called; it is made unique.
        checkpoints: a file outside of PostgreSQL; ``None`` to keep none.

    Raises:
        StateUnavailable: if PostgreSQL cannot be reached.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key: bytes,
        instance: str = "platform",
        *,
        checkpoints: Path | None = None,
        checkpoint_records: int = CHECKPOINT_RECORDS,
    ) -> None:
        self.instance = f"{instance}-{uuid.uuid4().hex[:12]}"
        self._database = database
        self._clock = clock
        self._key = key
        self._checkpoints = Checkpoints(checkpoints, key)
        self._checkpoint_records = checkpoint_records
        self._checkpoint_due = time.monotonic() + CHECKPOINT_S
        self._recover_due = time.monotonic() + RECOVER_S
        self._head: Head | None = None
        self._waiting: list[_Entry] = []
        self._waiting_lock = threading.Lock()
        self._committing = threading.Lock()
        self._liveness = Liveness(database, self.instance, self._tick)
        self._liveness.start()

    # --- writing ---

    def open(self, conn: Connection | None, start: StatementStart) -> StatementTicket:
        """Note that a statement begins, before any row of its result leaves.

        Args:
            conn: a transaction to join; ``None`` to make it durable at once.

        Raises:
            LedgerUnavailable: if it cannot be written; then the statement must not run.
        """
        ticket = StatementTicket(start.key, start_fields(start))
        text = msgspec.json.encode(ticket.start).decode()
        seal = seal_opened(self._key, self.instance, text)
        opened = Opened(ticket.key, start.at, self.instance, text, seal)
        with store.reaching():
            if conn is not None:
                store.open_statement(conn, opened)
            else:
                with self._database.transaction() as own:
                    store.open_statement(own, opened)
        return ticket

    def close(
        self,
        ticket: StatementTicket,
        outcome: StatementOutcome,
        conn: Connection | None = None,
    ) -> None:
        """Record how a statement ended. A second call for the same statement does nothing.

        Args:
            conn: a READ COMMITTED transaction to join, so that the record stands if and only
                if it commits. Its last act, please: others wait from here to its end.

        Raises:
            LedgerUnavailable: if it cannot be written, or if the transaction to join would
                record a statement for a second time.
        """
        entry = _Entry(self._fields(ticket.start, outcome, self.instance))
        if conn is None:
            self._append(entry)
            return
        with store.reaching():
            try:
                before = store.head(conn, lock=True)
                links, after = chain.extend(self._key, before, [entry.fields])
                store.append(conn, before, links, after)
            except store.RecordedAlready:
                raise _twice(ticket.key) from None

    def record(
        self,
        start: StatementStart,
        outcome: StatementOutcome,
        conn: Connection | None = None,
    ) -> None:
        """Record a statement that was never opened: refused, failed, or done at once.

        Raises:
            LedgerUnavailable: if it cannot be written.
        """
        self.close(StatementTicket(start.key, start_fields(start)), outcome, conn)

    def recover(self) -> int:
        """Record the open statements of instances that are gone as ``interrupted``.

        Those that were not written with the key are left where they are, for ``verify``.

        Returns:
            how many there were.

        Raises:
            LedgerUnavailable: if the ledger cannot be written.
        """
        found = 0
        with store.reaching():
            with self._database.transaction() as conn:
                others = store.opened_by_others(conn, self.instance)
            for instance in others:
                found += self._recover(instance)
        return found

    def stop(self) -> None:
        """Write a last checkpoint and let go of the instance's lock. Idempotent."""
        try:
            with self._database.transaction(read_only=True) as conn:
                self._checkpoints.write(store.head(conn), self._clock())
        except LakeholdError as error:
            log.warning("ledger.no_last_checkpoint", error=error.message)
        self._liveness.stop()

    # --- reading ---

    def verify(self, progress: Callable[[int], None] | None = None) -> Verification:
        """Check the whole chain and the checkpoints, in bounded memory.

        Raises:
            StateUnavailable: if PostgreSQL cannot be reached.
        """
        seen = self._checkpoints.read()
        with self._database.transaction(isolation=REPEATABLE_READ, read_only=True) as conn:
            head = store.head(conn)
            try:
                found = chain.verify(self._key, store.chain(conn), head, seen, progress)
            except CheckpointForged as error:
                return Verification(False, 0, None, "forged", f"checkpoints: {error}")
            if found.ok:
                for row in store.all_opened(conn):
                    if not self._is_genuine(row):
                        reason = f"the open statement {row.key} was not written by this platform"
                        return Verification(False, found.records, None, "forged", reason)
            return found

    def read(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        principal: str | None = None,
        status: str | None = None,
        table: str | None = None,
        limit: int | None = None,
    ) -> pa.RecordBatchReader:
        """Records, the newest first, as a stream of ``reading.SCHEMA``.

        Args:
            since, until: of the start of the statement; ``until`` is not included.
            table: one that was read or written, as ``schema.table``.
            limit: so many of the newest.

        Raises:
            StateUnavailable: while the stream is read, if PostgreSQL cannot be reached.
        """
        conditions = Conditions(since, until, principal, status, table)
        return reading.stream(self._database, conditions, limit)

    # --- within ---

    def _fields(
        self, start: dict[str, Any], outcome: StatementOutcome, instance: str
    ) -> dict[str, Any]:
        return {
            **start,
            **outcome_fields(outcome),
            "instance": instance,
            "recorded_at": moment(self._clock()),
        }

    def _append(self, entry: _Entry) -> None:
        """Commit a record, together with those of others who wait."""
        with self._waiting_lock:
            self._waiting.append(entry)
        while not entry.done:
            with self._committing:
                if entry.done:
                    break
                with self._waiting_lock:
                    batch, self._waiting = (
                        self._waiting[:BATCH_MAX],
                        self._waiting[BATCH_MAX:],
                    )
                self._commit_batch(batch)
        if entry.error is not None:
            raise entry.error

    def _commit_batch(self, batch: Sequence[_Entry]) -> None:
        """Commit a batch; each of it is done afterwards, well or with its error."""
        error: BaseException | None = None
        try:
            with store.reaching():
                self._commit_surely(batch)
        except BaseException as caught:  # each who waits is told
            self._head = None
            error = caught
        for entry in batch:
            entry.error = error
            entry.done = True
        if error is None and self._head is not None:
            self._checkpoint_if_due(self._head)

    def _commit_surely(self, batch: Sequence[_Entry]) -> None:
        """Commit a batch. What has a record already is left out, so trying again is safe."""
        left, tries = batch, 2
        while left:
            try:
                self._commit(left)
                return
            except store.RecordedAlready:
                left = self._unrecorded(left)
            except CommitUnknown:
                tries -= 1
                self._head = None
                if not tries:
                    raise

    def _commit(self, batch: Sequence[_Entry]) -> None:
        """Append records in a transaction of their own; one round trip if the head is known."""
        fields = [entry.fields for entry in batch]
        with self._database.transaction() as conn:
            before = self._head or store.head(conn, lock=True)
            links, after = chain.extend(self._key, before, fields)
            if not store.append(conn, before, links, after):
                before = store.head(conn, lock=True)
                self._went_back(before)
                links, after = chain.extend(self._key, before, fields)
                store.append(conn, before, links, after)
        self._head = after

    def _unrecorded(self, batch: Sequence[_Entry]) -> list[_Entry]:
        """Those of a batch that have no record yet, each once; open ones that have are ended."""
        by_key = {UUID(entry.fields["key"]): entry for entry in batch}
        with self._database.transaction() as conn:
            known = store.recorded(conn, list(by_key))
            store.forget_opened(conn, list(known))
        return [entry for key, entry in by_key.items() if key not in known]

    def _went_back(self, present: Head) -> None:
        """If the chain is shorter than it was, keep the proof of it."""
        known = self._head
        if known is not None and present.seq < known.seq:
            log.error("ledger.went_back", known=known.seq, present=present.seq)
            self._checkpoints.write(known, self._clock())

    def _recover(self, instance: str) -> int:
        """End the open statements of an instance, if it is gone; how many there were."""
        found, last = 0, None
        while True:
            try:
                with self._database.transaction() as conn:
                    if not store.claim(conn, instance):
                        return found
                    rows = store.opened(conn, instance, last, RECOVER_ROWS)
                    found += self._interrupt(conn, instance, rows)
            except store.RecordedAlready:
                return found  # someone else is at it; what is left is for the next time
            if len(rows) < RECOVER_ROWS:
                return found
            last = rows[-1]

    def _interrupt(self, conn: Connection, instance: str, rows: Sequence[Opened]) -> int:
        """Record open statements as interrupted, in a transaction that holds their instance."""
        genuine = [row for row in rows if self._is_genuine(row)]
        if len(genuine) < len(rows):
            log.error("ledger.forged_open_statements", count=len(rows) - len(genuine))
        known = store.recorded(conn, [row.key for row in genuine])
        store.forget_opened(conn, list(known))
        fields = [
            self._fields(msgspec.json.decode(row.start), INTERRUPTED, instance)
            for row in genuine
            if row.key not in known
        ]
        if fields:
            before = store.head(conn, lock=True)
            links, after = chain.extend(self._key, before, fields)
            store.append(conn, before, links, after)
        return len(genuine)

    def _is_genuine(self, row: Opened) -> bool:
        """Whether an open statement was written with the key, as it stands."""
        seal = seal_opened(self._key, row.instance, row.start)
        return hmac.compare_digest(seal, row.seal) and (
            msgspec.json.decode(row.start)["key"] == str(row.key)
        )

    def _checkpoint_if_due(self, head: Head) -> None:
        enough = head.seq - self._checkpoints.last.seq >= self._checkpoint_records
        if enough or time.monotonic() >= self._checkpoint_due:
            self._checkpoint_due = time.monotonic() + CHECKPOINT_S
            try:
                self._checkpoints.write(head, self._clock())
            except LakeholdError as error:
                log.error("ledger.checkpoint_failed", error=error.message)

    def _tick(self) -> None:
        """What a living platform does now and then: see to the dead, and to the checkpoints."""
        if time.monotonic() >= self._recover_due:
            self._recover_due = time.monotonic() + RECOVER_S
            self.recover()
        if time.monotonic() >= self._checkpoint_due:
            with self._database.transaction(read_only=True) as conn:
                head = store.head(conn)
            self._checkpoint_if_due(head)


def _twice(key: UUID) -> LakeholdError:
    return LedgerUnavailable(
        f"the statement has a record already ({key}); what it did was rolled back",
        hint="another platform on the same PostgreSQL took this one for dead; try again",
    )
