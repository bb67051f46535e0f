"""The ASGI application of the REST catalog: thin; every decision is the governed catalog's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec
from anyio.to_thread import run_sync
from litestar import asgi
from litestar.connection import ASGIConnection
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from lakehold.errors import (
    InvalidRequest,
    LakeholdError,
    NotAuthenticated,
    RequestTooLarge,
    TooManyRequests,
)
from lakehold.identity import Protocol
from lakehold.names import CATALOG
from lakehold.query.governed_catalog import GovernedCatalog
from lakehold.server.authentication import Authenticator, address_of, client_of
from lakehold.server.errors import AUTHENTICATION_CHALLENGE, as_lakehold_error
from lakehold.server.iceberg_rest import tokens
from lakehold.server.iceberg_rest.errors import Resource, WarehouseUnknown, error_answer
from lakehold.server.iceberg_rest.requests import Answer, Request
from lakehold.server.iceberg_rest.routing import ENDPOINTS, find_route, split_path
from lakehold.server.iceberg_rest.storage import StorageOffer

if TYPE_CHECKING:
    from lakehold.query.gateway import Gateway

ROOT = "/iceberg"
BODY_BYTES_MAX = 64 * 1024 * 1024
TOKEN_BODY_BYTES_MAX = 64 * 1024


def iceberg_routes(
    gateway: Gateway,
    access: tokens.Tokens,
    authenticator: Authenticator,
    *,
    storage: StorageOffer | None = None,
) -> ASGIRouteHandler:
    """The Iceberg REST catalog, to be mounted by the HTTP application at ``/iceberg``."""
    catalog = IcebergRest(gateway, access, authenticator, storage or StorageOffer())

    @asgi(ROOT, is_mount=True, copy_scope=True)
    async def iceberg(scope: Scope, receive: Receive, send: Send) -> None:
        await catalog.serve(scope, receive, send)

    return iceberg


class IcebergRest:
    """Serves the routes of the specification."""

    def __init__(
        self,
        gateway: Gateway,
        access: tokens.Tokens,
        authenticator: Authenticator,
        storage: StorageOffer,
    ) -> None:
        self._gateway = gateway
        self._access = access
        self._authenticator = authenticator
        self._storage = storage

    async def serve(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        connection: ASGIConnection[Any, Any, Any, Any] = ASGIConnection(scope, receive, send)
        resource: Resource = "table"
        method = scope["method"]
        try:
            parts = split_path(scope.get("raw_path") or scope["path"].encode(), ROOT)
            if parts == ["oauth", "tokens"] and method == "POST":
                answer = await self._token(connection, receive)
            elif parts == ["config"] and method == "GET":
                await self._authenticator.principal(connection)
                answer = self._config(_query(scope))
            else:
                route, names = find_route(method, parts)
                resource = route.resource
                principal = await self._authenticator.principal(connection)
                body = await _body(receive, BODY_BYTES_MAX) if method == "POST" else b""
                client = client_of(connection, Protocol.ICEBERG_REST)
                query, headers = _query(scope), _headers(connection)

                def work() -> tuple[Answer, bytes]:
                    session = self._gateway.open_session(principal, client)
                    catalog = GovernedCatalog(self._gateway, session)
                    request = Request(catalog, self._storage, names, query, headers, body)
                    done = route.handler(request)
                    return done, _encoded(done)

                answer, content = await run_sync(work)
                await _send(send, method, answer, content)
                return
        except Exception as error:
            answer = _refusal(as_lakehold_error(error), resource)
        await _send(send, method, answer, _encoded(answer))

    def _config(self, query: Mapping[str, str]) -> Answer:
        warehouse = query.get("warehouse", "")
        if warehouse not in ("", CATALOG, self._gateway.catalog.warehouse):
            raise WarehouseUnknown(f"there is one warehouse here: {CATALOG}")
        return Answer(body={"defaults": {}, "overrides": {}, "endpoints": list(ENDPOINTS)})

    async def _token(self, connection: ASGIConnection[Any, Any, Any, Any], receive: Any) -> Answer:
        """An access token; errors are in OAuth's form, not in Iceberg's."""
        no_store = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        try:
            body = await _body(receive, TOKEN_BODY_BYTES_MAX)
            secret = tokens.secret_of(body, _headers(connection))
            granted = await self._authenticator.attempt(
                address_of(connection), lambda given: tokens.grant(self._access, given), secret
            )
        except tokens.OAuthRefusal as refusal:
            return Answer(refusal.status, refusal.body, no_store)
        except NotAuthenticated as error:
            body_ = {"error": "invalid_client", "error_description": error.message}
            return Answer(401, body_, {**no_store, "WWW-Authenticate": AUTHENTICATION_CHALLENGE})
        return Answer(body=granted, headers=no_store)


def _refusal(error: LakeholdError, resource: Resource) -> Answer:
    answer = error_answer(error, resource)
    headers = {}
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = AUTHENTICATION_CHALLENGE
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, RequestTooLarge):
        headers["Connection"] = "close"
    return Answer(answer.status, answer.body(), headers)


async def _body(receive: Any, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the body ended early")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise RequestTooLarge(f"the body is larger than {most:,} bytes")
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _query(scope: Mapping[str, Any]) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            scope["query_string"].decode("ascii"),
            keep_blank_values=True,
            max_num_fields=50,
            errors="strict",
        )
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("the query string cannot be read") from None
    return dict(reversed(pairs))


def _headers(connection: ASGIConnection[Any, Any, Any, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in connection.headers.items()}


def _encoded(answer: Answer) -> bytes:
    return b"" if answer.body is None else msgspec.json.encode(answer.body)


async def _send(send: Any, method: str, answer: Answer, content: bytes) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers.items()]
    if content:
        headers.append((b"content-type", b"application/json"))
    if answer.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})
