"""Writers of one table take turns.

Within a process they queue here, in the order they came, so that waiting holds no
PostgreSQL connection; between processes a PostgreSQL advisory lock decides.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from threading import Event, Lock
from uuid import UUID

from lakehold.errors import CommitConflict, LockTimeout, StatementCancelled


@dataclass(slots=True, eq=False)
class _Ticket:
    owner: UUID
    turn: Event = field(default_factory=Event)
    cancelled: bool = False


class WriterQueues:
    """One fair queue per table; the first ticket in it holds the table. Thread safe."""

    def __init__(self) -> None:
        self._queues: dict[UUID, deque[_Ticket]] = {}
        self._waiting: dict[UUID, tuple[UUID, _Ticket]] = {}
        self._lock = Lock()

    def acquire(self, owner: UUID, table: UUID, deadline: float) -> bool:
        """Wait for the turn of ``owner`` (a transaction); false if it holds the table already.

        Args:
            deadline: on ``time.monotonic``'s scale.

        Raises:
            LockTimeout: if the turn has not come by then.
            CommitConflict: if the holder waits for this owner in turn.
            StatementCancelled: if ``cancel`` was called meanwhile.
        """
        ticket = _Ticket(owner)
        with self._lock:
            queue = self._queues.setdefault(table, deque())
            if queue and queue[0].owner == owner:
                return False
            queue.append(ticket)
            if queue[0] is ticket:
                return True
            if self._would_deadlock(owner, table):
                queue.remove(ticket)
                raise CommitConflict(
                    "two transactions wait for each other's tables; this one gave way",
                    hint="run it again, or write to the tables in the same order",
                )
            self._waiting[owner] = (table, ticket)
        ticket.turn.wait(max(deadline - time.monotonic(), 0))
        with self._lock:
            self._waiting.pop(owner, None)
            if queue[0] is ticket and not ticket.cancelled:
                return True
            self._leave(table, ticket)
        if ticket.cancelled:
            raise StatementCancelled("the transaction ended while it waited for a table")
        raise LockTimeout(
            "other writers of the table are before this one",
            hint="try again, or end the transaction that holds it",
        )

    def release(self, owner: UUID, table: UUID) -> None:
        """End the turn of ``owner``; the next in the queue goes on."""
        with self._lock:
            queue = self._queues.get(table)
            if queue and queue[0].owner == owner:
                self._leave(table, queue[0])

    def cancel(self, owner: UUID) -> None:
        """Make ``owner`` stop waiting, if it is."""
        with self._lock:
            waiting = self._waiting.get(owner)
            if waiting is not None:
                waiting[1].cancelled = True
                waiting[1].turn.set()

    def _leave(self, table: UUID, ticket: _Ticket) -> None:
        queue = self._queues[table]
        queue.remove(ticket)
        if queue:
            queue[0].turn.set()
        else:
            del self._queues[table]

    def _would_deadlock(self, owner: UUID, table: UUID) -> bool:
        """Follow who waits for whom, from the table's holder on."""
        seen: set[UUID] = set()
        while table not in seen:
            seen.add(table)
            holder = self._queues[table][0].owner
            if holder == owner:
                return True
            waiting = self._waiting.get(holder)
            if waiting is None:
                return False
            table = waiting[0]
        return False
