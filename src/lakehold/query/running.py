"""Statements that run: how they are found, timed, cancelled, and remembered for a while."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from lakehold.audit import StatementTicket
from lakehold.errors import (
    InvalidRequest,
    LakeholdError,
    StatementCancelled,
    StatementTimeout,
    UndefinedObject,
)
from lakehold.identity import Principal, Session
from lakehold.names import TableName

FINISHED_MAX = 1_000
"""Finished statements whose outcome is remembered, so that a client can ask what happened."""

SHOWN_TEXT_MAX = 2_000
"""Characters of a statement's text that are shown among the running ones."""


@dataclass
class RunningStatement:
    """One statement from acceptance to its last row.

    Attributes:
        state: ``queued``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        rows: rows handed out so far.
        kind: command tag.
        reads, writes: what the ledger record says was read and written.
        reasons: why policy allowed it.
        ticket: the opened ledger record.
        recorded: whether the ledger record is complete.
    """

    id: UUID
    session: Session
    text: str
    started_at: datetime
    started_s: float = field(default_factory=time.monotonic)
    ended_s: float | None = None
    state: str = "queued"
    rows: int = 0
    kind: str = "UNKNOWN"
    engine: str | None = None
    reads: dict[TableName, frozenset[str]] = field(default_factory=dict)
    writes: set[TableName] = field(default_factory=set)
    reasons: tuple[str, ...] = ()
    ticket: StatementTicket | None = None
    recorded: bool = False
    error: LakeholdError | None = None
    stop_reason: LakeholdError | None = None
    _interrupt: Callable[[], None] | None = None
    _progress: Callable[[], float | None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def duration_ms(self) -> float:
        return ((self.ended_s or time.monotonic()) - self.started_s) * 1000

    def attach(self, interrupt: Callable[[], None], progress: Callable[[], float | None]) -> None:
        """Tell how the engine's part is stopped. If it was stopped before, stop it now."""
        with self._lock:
            self._interrupt, self._progress = interrupt, progress
            stopped = self.stop_reason is not None
        if stopped:
            interrupt()

    def detach(self) -> None:
        with self._lock:
            self._interrupt = self._progress = None

    def stop(self, reason: LakeholdError) -> None:
        """Stop the statement; the first reason counts."""
        with self._lock:
            if self.state in ("finished", "failed", "cancelled"):
                return
            if self.stop_reason is None:
                self.stop_reason = reason
            interrupt = self._interrupt
        if interrupt is not None:
            interrupt()

    def check(self) -> None:
        """Raise the reason if the statement was stopped."""
        if self.stop_reason is not None:
            raise self.stop_reason

    def reason_for(self, error: LakeholdError) -> LakeholdError:
        """The stop's own reason in place of the engine's ``interrupted``."""
        if self.stop_reason is not None and isinstance(error, StatementCancelled):
            return self.stop_reason
        return error

    def progress(self) -> float | None:
        with self._lock:
            ask = self._progress
        if self.state == "finished":
            return 1.0
        if ask is None:
            return None
        with suppress(Exception):
            return ask()
        return None

    def describe(self) -> dict[str, Any]:
        """What a client is told."""
        return {
            "statement_id": str(self.id),
            "principal": self.session.principal.name,
            "state": self.state,
            "started_at": self.started_at,
            "duration_ms": round(self.duration_ms, 3),
            "progress": self.progress(),
            "rows": self.rows,
            "statement": self.text[:SHOWN_TEXT_MAX],
            "error": self.error,
        }


class Statements:
    """The statements of this platform: the running ones, and the last finished ones."""

    def __init__(self) -> None:
        self._running: dict[UUID, RunningStatement] = {}
        self._finished: OrderedDict[UUID, RunningStatement] = OrderedDict()
        self._lock = threading.Lock()
        self._deadlines = Deadlines()

    def start(self, statement: RunningStatement, timeout_s: float) -> None:
        """Register a statement and its time limit.

        Raises:
            InvalidRequest: if the client chose an id that is in use.
        """
        with self._lock:
            if statement.id in self._running or statement.id in self._finished:
                raise InvalidRequest(f"the statement id {statement.id} was used before")
            self._running[statement.id] = statement
        self._deadlines.add(timeout_s, statement)

    def finish(self, statement: RunningStatement, error: LakeholdError | None) -> None:
        """Take a statement from the running to the finished ones."""
        statement.detach()
        statement.error = error
        cancelled = isinstance(error, StatementCancelled | StatementTimeout)
        statement.state = "finished" if error is None else "cancelled" if cancelled else "failed"
        statement.ended_s = time.monotonic()
        with self._lock:
            self._running.pop(statement.id, None)
            self._finished[statement.id] = statement
            while len(self._finished) > FINISHED_MAX:
                self._finished.popitem(last=False)

    def of(self, principal: Principal, *, everyone: bool = False) -> list[RunningStatement]:
        """The running statements of a principal, or of everyone."""
        with self._lock:
            running = list(self._running.values())
        return [item for item in running if everyone or item.session.principal.id == principal.id]

    def find(
        self, principal: Principal, statement_id: UUID, *, everyone: bool = False
    ) -> RunningStatement:
        """A statement, running or finished not long ago.

        Raises:
            UndefinedObject: if it is not known, or not the principal's.
        """
        with self._lock:
            found = self._running.get(statement_id) or self._finished.get(statement_id)
        if found is None or not (everyone or found.session.principal.id == principal.id):
            raise UndefinedObject(f"there is no statement {statement_id}")
        return found

    def stop_all(self, reason: LakeholdError) -> None:
        """Stop every running statement."""
        with self._lock:
            running = list(self._running.values())
        for item in running:
            item.stop(reason)

    @property
    def count(self) -> int:
        with self._lock:
            return len(self._running)

    def close(self) -> None:
        self._deadlines.close()


class Deadlines:
    """Stops statements that run into their time limit: one thread for all of them."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, RunningStatement, float]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def add(self, timeout_s: float, statement: RunningStatement) -> None:
        with self._changed:
            due = time.monotonic() + timeout_s
            first = not self._heap or due < self._heap[0][0]
            heapq.heappush(self._heap, (due, next(self._numbers), statement, timeout_s))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._watch, name="lakehold-deadlines", daemon=True
                )
                self._thread.start()
            elif first:
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _watch(self) -> None:
        while True:
            with self._changed:
                while self._heap and self._heap[0][2].state not in ("queued", "running"):
                    heapq.heappop(self._heap)
                now = time.monotonic()
                if self._closed:
                    return
                if not self._heap:
                    self._changed.wait(timeout=60)
                    continue
                due, _, statement, limit_s = self._heap[0]
                if due > now:
                    self._changed.wait(timeout=min(due - now, 60))
                    continue
                heapq.heappop(self._heap)
            statement.stop(
                StatementTimeout(
                    f"the statement ran into its time limit of {limit_s:g} s",
                    hint="ask for a longer timeout, or for less",
                )
            )
