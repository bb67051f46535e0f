"""What became of a statement: the running ones from the gateway, the last ones remembered here.

A result that breaks off after its first byte cannot say why in every format; the client asks
``GET /v1/statements/{id}``.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, Protocol
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get

from lakehold.errors import InvalidRequest, UndefinedObject
from lakehold.identity import Principal
from lakehold.server.errors import ErrorDetail

FINISHED_MAX = 10_000
"""Ended statements that are remembered."""


class StatementState(msgspec.Struct, frozen=True, kw_only=True):
    """A statement, running or ended.

    Attributes:
        state: ``running``, ``finished``, ``failed`` or ``cancelled``.
        progress: the share that is done, 0 to 1, where the engine can tell.
        rows: rows sent so far.
        duration_ms: milliseconds from acceptance until now or until its end.
        sql: its text, cut after 1,000 characters; only while it runs.
    """

    id: str
    state: str
    progress: float | None = None
    rows: int = 0
    duration_ms: float = 0.0
    sql: str | None = None
    error: ErrorDetail | None = None


class RunningStatement(Protocol):
    """What the gateway tells about a statement that runs."""

    @property
    def id(self) -> UUID: ...
    @property
    def sql(self) -> str: ...
    @property
    def progress(self) -> float | None: ...
    @property
    def rows(self) -> int: ...
    @property
    def elapsed_s(self) -> float: ...


class FinishedStatements:
    """The last statements that ended, by principal. Thread safe; bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: OrderedDict[tuple[UUID, UUID], StatementState] = OrderedDict()

    def add(self, principal: Principal, statement_id: UUID, state: StatementState) -> None:
        """Remember how a statement ended."""
        with self._lock:
            self._states[principal.id, statement_id] = state
            if len(self._states) > FINISHED_MAX:
                self._states.popitem(last=False)

    def get(self, principal: Principal, statement_id: UUID) -> StatementState | None:
        """How a statement of this principal ended; ``None`` if it is not remembered."""
        with self._lock:
            return self._states.get((principal.id, statement_id))


class StatementList(msgspec.Struct, frozen=True):
    """The caller's statements that run."""

    statements: list[StatementState]


def parse_id(text: str, what: str) -> UUID:
    """Read an id from a path or header.

    Raises:
        InvalidRequest: it is not a UUID.
    """
    try:
        return UUID(text)
    except ValueError:
        raise InvalidRequest(f"a {what} is a UUID, not {text[:100]!r}") from None


def statement_routes(gateway: Any, finished: FinishedStatements) -> Router:
    """``/v1/statements``."""

    def running(principal: Principal) -> list[StatementState]:
        return [_state(statement) for statement in gateway.statements(principal)]

    @get("/", sync_to_thread=True, summary="The caller's running statements")
    def list_statements(request: Request[Principal, Any, Any]) -> StatementList:
        return StatementList(running(request.user))

    @get("/{statement_id:str}", sync_to_thread=True, summary="A statement's state and error")
    def read_statement(request: Request[Principal, Any, Any], statement_id: str) -> StatementState:
        wanted = parse_id(statement_id, "statement id")
        for state in running(request.user):
            if state.id == str(wanted):
                return state
        ended = finished.get(request.user, wanted)
        if ended is None:
            raise UndefinedObject(f"there is no statement {wanted} of yours here")
        return ended

    @delete("/{statement_id:str}", sync_to_thread=True, summary="Cancel a statement")
    def cancel_statement(request: Request[Principal, Any, Any], statement_id: str) -> None:
        wanted = parse_id(statement_id, "statement id")
        if finished.get(request.user, wanted) is None:
            gateway.cancel(request.user, wanted)

    return Router("/statements", route_handlers=[list_statements, read_statement, cancel_statement])


def _state(statement: RunningStatement) -> StatementState:
    return StatementState(
        id=str(statement.id),
        state="running",
        progress=statement.progress,
        rows=statement.rows,
        duration_ms=round(statement.elapsed_s * 1000, 3),
        sql=statement.sql[:1000],
    )
