"""The proof that an instance of the platform lives: a lock that PostgreSQL holds for it.

The lock ends with the connection, so at once when the process dies. If the connection is lost
while the process lives, the lock is taken again; should another instance have thought it dead
in between, its open statements have the record ``interrupted``, and a commit of theirs fails
rather than being recorded twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from lakehold.audit import store
from lakehold.errors import LakeholdError, StateUnavailable
from lakehold.state import Database

log = structlog.get_logger(__name__)

TICK_S = 5.0
"""Seconds between two looks at the connection."""


class Liveness:
    """Holds an instance's lock on a thread of its own, and calls back now and then.

    Args:
        on_tick: called every ``TICK_S`` seconds.
    """

    def __init__(self, database: Database, instance: str, on_tick: Callable[[], None]) -> None:
        self._database = database
        self._instance = instance
        self._on_tick = on_tick
        self._held = threading.Event()
        self._stop = threading.Event()
        self._failure: LakeholdError | None = None
        self._thread = threading.Thread(target=self._run, name="ledger-liveness", daemon=True)

    def start(self) -> None:
        """Return when the lock is held.

        Raises:
            StateUnavailable: if PostgreSQL cannot be reached.
        """
        self._thread.start()
        self._held.wait(30)
        if self._failure is not None:
            raise self._failure
        if not self._held.is_set():
            raise StateUnavailable("PostgreSQL did not answer in 30 s")

    def stop(self) -> None:
        """Release the lock. Idempotent."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._hold()
            except LakeholdError as error:
                if not self._held.is_set():
                    self._failure = error
                    self._stop.set()
                    self._held.set()
                    return
                log.warning("ledger.liveness_lost", error=error.message)
                self._stop.wait(1)

    def _hold(self) -> None:
        with self._database.transaction() as conn:
            store.hold(conn, self._instance)
            self._held.set()
            while not self._stop.wait(TICK_S):
                store.alive(conn)
                try:
                    self._on_tick()
                except LakeholdError as error:
                    log.warning("ledger.tick_failed", error=error.message)
                except Exception:
                    log.exception("ledger.tick_failed")  # the lock must be held on
