"""Open sessions: what lasts between a client's statements."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import UUID

from lakehold.catalog import LakeTransaction
from lakehold.errors import LakeholdError, SessionUnknown, TooManyRequests, TransactionInvalid
from lakehold.identity import Principal, Session

IDLE_S = 1800.0
"""Seconds after which a session that does nothing is closed, and its transaction rolled back."""

TRANSACTION_IDLE_S = 300.0
"""The same for a session with an open transaction, which may hold locks."""

SESSIONS_MAX = 10_000
SESSIONS_PER_PRINCIPAL_MAX = 1_000


@dataclass
class OpenSession:
    """A session and its state. ``lock`` is held while a statement starts in it.

    Attributes:
        transaction: the open transaction, if BEGIN came.
        failed: whether a statement of the transaction failed; only ROLLBACK may follow.
    """

    session: Session
    transaction: LakeTransaction | None = None
    failed: bool = False
    lasting: bool = True
    used_s: float = field(default_factory=time.monotonic)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def change(self, **values: object) -> None:
        """Change the session's schema, roles or purpose."""
        self.session = replace(self.session, **values)  # type: ignore[arg-type]

    def end(self) -> None:
        """Roll back what is open."""
        transaction, self.transaction = self.transaction, None
        self.failed = False
        if transaction is not None:
            transaction.rollback()


class Sessions:
    """All open sessions of this platform; bounded, and closed when idle."""

    def __init__(self) -> None:
        self._open: dict[UUID, OpenSession] = {}
        self._lock = threading.Lock()

    def open(self, session: Session) -> OpenSession:
        """Keep a session.

        Raises:
            TooManyRequests: if there are too many.
        """
        self.close_idle()
        with self._lock:
            of_principal = sum(
                1
                for item in self._open.values()
                if item.session.principal.id == session.principal.id
            )
            if len(self._open) >= SESSIONS_MAX or of_principal >= SESSIONS_PER_PRINCIPAL_MAX:
                raise TooManyRequests("too many sessions are open", retry_after_s=5)
            state = OpenSession(session)
            self._open[session.id] = state
            return state

    def of(self, session: Session) -> OpenSession:
        """The state of a session; one that was not opened lasts for one statement."""
        with self._lock:
            found = self._open.get(session.id)
        if found is None:
            return OpenSession(session, lasting=False)
        found.used_s = time.monotonic()
        return found

    def find(self, principal: Principal, session_id: UUID) -> OpenSession:
        """An open session of a principal.

        Raises:
            SessionUnknown: if there is none, or it is another's.
        """
        with self._lock:
            found = self._open.get(session_id)
        if found is None or found.session.principal.id != principal.id:
            raise SessionUnknown(
                f"there is no session {session_id}", hint="open one; idle sessions are closed"
            )
        found.used_s = time.monotonic()
        return found

    def close(self, session_id: UUID) -> None:
        """Close a session and roll back its transaction. Idempotent."""
        with self._lock:
            found = self._open.pop(session_id, None)
        if found is not None:
            with found.lock:
                found.end()

    def close_idle(self) -> None:
        """Close the sessions that did nothing for too long."""
        now = time.monotonic()
        with self._lock:
            idle = [
                identity
                for identity, item in self._open.items()
                if now - item.used_s > (TRANSACTION_IDLE_S if item.transaction else IDLE_S)
            ]
        for identity in idle:
            self.close(identity)

    def close_all(self) -> None:
        with self._lock:
            identities = list(self._open)
        for identity in identities:
            with suppress(LakeholdError):
                self.close(identity)


def must_last(state: OpenSession) -> None:
    """BEGIN and the like need a session that outlives the statement.

    Raises:
        TransactionInvalid
    """
    if not state.lasting:
        raise TransactionInvalid(
            "this needs a session that lasts for more than one statement",
            hint="open one: POST /v1/sessions, then send its id as Lakehold-Session",
        )
