"""The HTTP application: built from parts that it is given; decides nothing itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from anyio.to_thread import run_sync
from litestar import Litestar, Response, Router, get
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from lakehold.errors import LakeholdError
from lakehold.ingest.staging import StagingArea
from lakehold.server.authentication import Authenticator
from lakehold.server.errors import handle_exception
from lakehold.server.http.audit import audit_routes
from lakehold.server.http.health import health_routes
from lakehold.server.http.load import load_routes
from lakehold.server.http.sessions import session_routes
from lakehold.server.http.sql import SqlParts, sql_routes
from lakehold.server.http.statements import statement_routes
from lakehold.server.http.streaming import StatementRunner
from lakehold.server.http.tokens import login_routes, token_routes, whoami_routes
from lakehold.server.iceberg_rest import StorageOffer, iceberg_routes
from lakehold.server.openapi import openapi_document

if TYPE_CHECKING:
    from lakehold.access import Access
    from lakehold.audit import Ledger
    from lakehold.query import Gateway

LOADS_MAX = 4
"""Files that are read at once; more wait."""

SECURITY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"server", b"lakehold"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class ServerParts:
    """What the HTTP server stands in front of.

    Attributes:
        gateway: the one door for statements.
        access: principals and tokens.
        ledger: the audit log.
        staging: where files on the way in are kept.
        readiness: by name of a part, a check that raises if it cannot be used.
        storage: what Iceberg clients are told about the object store.
        routes: more routes, with an authentication of their own.
        version: of Lakehold, for the OpenAPI document.
    """

    gateway: Gateway
    access: Access
    ledger: Ledger
    staging: StagingArea
    readiness: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    storage: StorageOffer | None = None
    routes: Sequence[Any] = ()
    version: str = "0"


def create_application(parts: ServerParts) -> Litestar:
    """Build the ASGI application."""
    authenticator = Authenticator(parts.access.authenticate)
    runner = StatementRunner(parts.gateway.cancel)
    loads = ThreadPoolExecutor(LOADS_MAX, thread_name_prefix="lakehold-load")
    sql_parts = SqlParts(parts.gateway, runner, parts.staging, loads)

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: Any) -> None:
        # A function: Litestar copies what it is given in depth, and would copy a method's object.
        await authenticator.guard(connection, handler)

    governed = Router(
        "/v1",
        guards=[guard],
        route_handlers=[
            sql_routes(sql_parts),
            load_routes(sql_parts),
            session_routes(parts.gateway),
            statement_routes(parts.gateway),
            token_routes(parts.access),
            whoami_routes(),
            audit_routes(parts.ledger, parts.gateway),
        ],
    )

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        yield
        await runner.settle()
        await run_sync(runner.close)
        await run_sync(loads.shutdown)

    application = Litestar(
        route_handlers=[
            health_routes(parts.readiness),
            login_routes(parts.access, authenticator),
            governed,
            iceberg_routes(parts.gateway, parts.access, authenticator, storage=parts.storage),
            *parts.routes,
        ],
        exception_handlers={
            Exception: handle_exception,
            LakeholdError: handle_exception,
        },
        middleware=[_security_headers],
        lifespan=[lifespan],
        openapi_config=None,
        request_max_body_size=None,
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    application.register(_openapi_route(application, parts.version))
    return application


def _openapi_route(application: Litestar, version: str) -> HTTPRouteHandler:
    @cache
    def document() -> bytes:
        return msgspec.json.encode(openapi_document(application.routes, version))

    @get("/openapi.json", sync_to_thread=False, summary="This document")
    def openapi() -> Response[bytes]:
        return Response(document(), media_type="application/vnd.oai.openapi+json;version=3.1")

    return openapi


def _security_headers(app: ASGIApp) -> ASGIApp:
    async def with_headers(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(header for header in SECURITY_HEADERS if header[0] not in present),
                ]
            await send(message)

        await app(
            scope,
            receive,
            send_with_headers if scope["type"] == ScopeType.HTTP else send,
        )

    return with_headers
