"""Sessions over HTTP: what lets ``BEGIN``, ``USE`` and roles last over several requests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from anyio.to_thread import run_sync
from litestar import Request, Router, delete, post

from lakehold.errors import LakeholdError, SessionUnknown, TooManyRequests
from lakehold.identity import Principal
from lakehold.server.authentication import client_of
from lakehold.server.errors import as_lakehold_error
from lakehold.server.http.body import read_json
from lakehold.server.http.statements import parse_id

IDLE_S = 3600.0
"""Seconds after which a session that runs nothing is ended, and its transaction rolled back."""
SESSIONS_PER_PRINCIPAL_MAX = 500

SESSION_HEADER = "lakehold-session"


class SessionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a session shall be.

    Attributes:
        schema: the schema of names without one.
        roles: the active roles; all of the principal's where they are not given.
        purpose: why data is being read.
    """

    schema: str | None = None
    roles: list[str] | None = None
    purpose: str | None = None


class SessionDescription(msgspec.Struct, frozen=True):
    """A session that is open."""

    id: str
    principal: str
    roles: list[str]
    schema: str
    purpose: str | None
    idle_timeout_s: float


@dataclass(slots=True)
class _Open:
    session: Any
    principal_id: UUID
    used_at: float
    running: int = 0


class OpenSessions:
    """The sessions that were opened over HTTP. Thread safe.

    Args:
        close_session: the gateway's; rolls an open transaction back. May block.
        now: seconds on a clock that never goes back.
    """

    def __init__(
        self, close_session: Callable[[UUID], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._close_session = close_session
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[UUID, _Open] = {}

    def add(self, session: Any, principal: Principal) -> None:
        """Keep a session; ends those that were idle too long. May block."""
        self.close_idle()
        with self._lock:
            mine = sum(1 for held in self._open.values() if held.principal_id == principal.id)
            if mine < SESSIONS_PER_PRINCIPAL_MAX:
                self._open[session.id] = _Open(session, principal.id, self._now())
                return
        self._close_session(session.id)
        raise TooManyRequests(
            f"a principal has at most {SESSIONS_PER_PRINCIPAL_MAX} sessions at once",
            retry_after_s=60,
            hint="Close sessions with DELETE /v1/sessions/{id}.",
        )

    def borrow(self, session_id: UUID, principal: Principal) -> Any:
        """Return a session of this principal; it cannot expire until ``give_back``.

        Raises:
            SessionUnknown: it has ended, never was, or is not the caller's.
        """
        with self._lock:
            held = self._open.get(session_id)
            if held is None or held.principal_id != principal.id:
                raise SessionUnknown(
                    f"there is no open session {session_id} of yours",
                    hint="It may have been idle too long; open another with POST /v1/sessions.",
                )
            held.running += 1
            held.used_at = self._now()
            return held.session

    def give_back(self, session_id: UUID) -> None:
        """The statement that borrowed the session has ended."""
        with self._lock:
            held = self._open.get(session_id)
            if held is not None:
                held.running -= 1
                held.used_at = self._now()

    def close(self, session_id: UUID, principal: Principal) -> None:
        """End a session of this principal. May block."""
        self.borrow(session_id, principal)
        with self._lock:
            self._open.pop(session_id, None)
        self._close_session(session_id)

    def close_idle(self) -> None:
        """End the sessions that were idle for ``IDLE_S``. May block."""
        before = self._now() - IDLE_S
        self._close_where(lambda held: held.running == 0 and held.used_at < before)

    def close_all(self) -> None:
        """End every session. May block."""
        self._close_where(lambda _: True)

    def _close_where(self, ends: Callable[[_Open], bool]) -> None:
        with self._lock:
            ending = [session_id for session_id, held in self._open.items() if ends(held)]
            for session_id in ending:
                del self._open[session_id]
        for session_id in ending:
            try:
                self._close_session(session_id)
            except LakeholdError:
                pass  # it has ended by itself
            except Exception as error:
                as_lakehold_error(error)


def session_routes(gateway: Any, sessions: OpenSessions) -> Router:
    """``/v1/sessions``."""

    @post("/", summary="Open a session", status_code=201)
    async def open_session(request: Request[Principal, Any, Any]) -> SessionDescription:
        wanted = await read_json(request, SessionRequest)
        client = client_of(request)
        principal = request.user

        def opened() -> Any:
            session = gateway.open_session(
                principal,
                client,
                roles=wanted.roles,
                schema=wanted.schema,
                purpose=wanted.purpose,
            )
            sessions.add(session, principal)
            return session

        session = await run_sync(opened)
        return SessionDescription(
            id=str(session.id),
            principal=principal.name,
            roles=sorted(session.roles),
            schema=session.schema,
            purpose=session.purpose,
            idle_timeout_s=IDLE_S,
        )

    @delete("/{session_id:str}", sync_to_thread=True, summary="End a session")
    def close_session(request: Request[Principal, Any, Any], session_id: str) -> None:
        sessions.close(parse_id(session_id, "session id"), request.user)

    return Router("/sessions", route_handlers=[open_session, close_session])


def session_of(request: Request[Principal, Any, Any]) -> UUID | None:
    """The id in the ``Lakehold-Session`` header, if there is one."""
    text = request.headers.get(SESSION_HEADER, "")
    return parse_id(text, "session id") if text else None
