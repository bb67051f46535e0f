"""What became of a statement: running ones, and those that ended not long ago.

A result that breaks off after its first byte cannot say why in every format; the client asks
``GET /v1/statements/{id}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get
from litestar.params import FromPath

from lakehold.errors import InvalidRequest
from lakehold.identity import Principal
from lakehold.server.errors import ErrorDetail, error_detail

if TYPE_CHECKING:
    from lakehold.query import Gateway


class StatementState(msgspec.Struct, frozen=True, kw_only=True):
    """A statement, running or ended.

    Attributes:
        state: ``queued``, ``running``, ``finished``, ``failed`` or ``cancelled``.
        started_at: the moment of acceptance, ISO 8601.
        duration_ms: milliseconds from acceptance until now, or until its end.
        progress: the share that is done, 0 to 1, where the engine can tell.
        rows: rows handed out so far.
        sql: its text, cut where it is very long.
    """

    id: str
    principal: str
    state: str
    started_at: str
    duration_ms: float
    progress: float | None
    rows: int
    sql: str
    error: ErrorDetail | None = None


class StatementList(msgspec.Struct, frozen=True):
    """The caller's running statements; an administrator sees everybody's."""

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


def statement_routes(gateway: Gateway) -> Router:
    """``/v1/statements``."""

    @get("/", sync_to_thread=True, summary="The caller's running statements")
    def list_statements(request: Request[Principal, Any, Any]) -> StatementList:
        return StatementList([_state(statement) for statement in gateway.statements(request.user)])

    @get(
        "/{statement_id:str}",
        sync_to_thread=True,
        summary="A statement's state and error",
    )
    def read_statement(
        request: Request[Principal, Any, Any], statement_id: FromPath[str]
    ) -> StatementState:
        wanted = parse_id(statement_id, "statement id")
        return _state(gateway.statement(request.user, wanted))

    @delete("/{statement_id:str}", sync_to_thread=True, summary="Cancel a statement")
    def cancel_statement(
        request: Request[Principal, Any, Any], statement_id: FromPath[str]
    ) -> None:
        gateway.cancel(request.user, parse_id(statement_id, "statement id"))

    return Router(
        "/statements",
        route_handlers=[list_statements, read_statement, cancel_statement],
    )


def _state(statement: Any) -> StatementState:
    described = statement.describe()
    error = described["error"]
    return StatementState(
        id=described["statement_id"],
        principal=described["principal"],
        state=described["state"],
        started_at=described["started_at"].isoformat(),
        duration_ms=described["duration_ms"],
        progress=described["progress"],
        rows=described["rows"],
        sql=described["statement"],
        error=None if error is None else error_detail(error, statement.id),
    )
