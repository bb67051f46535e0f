"""Sessions over HTTP: what lets ``BEGIN``, ``USE`` and roles last over several requests."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from anyio.to_thread import run_sync
from litestar import Request, Router, delete, get, post
from litestar.params import FromPath

from lakehold.identity import Principal, Session
from lakehold.server.authentication import client_of
from lakehold.server.http.body import read_json
from lakehold.server.http.statements import parse_id

if TYPE_CHECKING:
    from lakehold.query import Gateway

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
    """A session that is open.

    Attributes:
        in_transaction: whether ``BEGIN`` came and neither ``COMMIT`` nor ``ROLLBACK`` yet.
    """

    id: str
    principal: str
    roles: list[str]
    schema: str
    purpose: str | None
    in_transaction: bool


def session_routes(gateway: Gateway) -> Router:
    """``/v1/sessions``."""

    @post("/", summary="Open a session", status_code=201)
    async def open_session(request: Request[Principal, Any, Any]) -> SessionDescription:
        wanted = await read_json(request, SessionRequest)
        opened = partial(
            gateway.open_session,
            request.user,
            client_of(request),
            roles=None if wanted.roles is None else frozenset(wanted.roles),
            schema=wanted.schema,
            purpose=wanted.purpose,
            lasting=True,
        )
        return _describe(await run_sync(opened), in_transaction=False)

    @get("/{session_id:str}", sync_to_thread=True, summary="A session")
    def read_session(
        request: Request[Principal, Any, Any], session_id: FromPath[str]
    ) -> SessionDescription:
        session = gateway.find_session(request.user, parse_id(session_id, "session id"))
        return _describe(session, in_transaction=gateway.in_transaction(session))

    @delete("/{session_id:str}", sync_to_thread=True, summary="End a session")
    def close_session(request: Request[Principal, Any, Any], session_id: FromPath[str]) -> None:
        session = gateway.find_session(request.user, parse_id(session_id, "session id"))
        gateway.close_session(session.id)

    return Router("/sessions", route_handlers=[open_session, read_session, close_session])


def session_of(request: Request[Principal, Any, Any]) -> UUID | None:
    """The id in the ``Lakehold-Session`` header, if there is one."""
    text = request.headers.get(SESSION_HEADER, "")
    return parse_id(text, "session id") if text else None


def _describe(session: Session, *, in_transaction: bool) -> SessionDescription:
    return SessionDescription(
        id=str(session.id),
        principal=session.principal.name,
        roles=sorted(session.roles),
        schema=session.schema,
        purpose=session.purpose,
        in_transaction=in_transaction,
    )
