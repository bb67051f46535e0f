"""``/v1/login``, ``/v1/whoami``, ``/v1/tokens``: credentials of the HTTP API."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from anyio.to_thread import run_sync
from litestar import Request, Router, delete, get, post
from litestar.params import FromPath

from lakehold.errors import InvalidRequest
from lakehold.identity import Principal
from lakehold.server.authentication import Authenticator, address_of, bearer_token
from lakehold.server.http.body import read_json
from lakehold.server.http.statements import parse_id

if TYPE_CHECKING:
    from lakehold.access import Access

EXPIRES_MAX_S = 10 * 366 * 24 * 3600
DEFAULT_TOKEN_NAME = "login"


class LoginRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The one-time secret of a platform's first start, and what the new token is called."""

    secret: str
    name: str = DEFAULT_TOKEN_NAME


class NewToken(msgspec.Struct, frozen=True):
    """A token, shown once."""

    token: str


class TokenRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token to be made.

    Attributes:
        name: what it is for.
        principal: whose it shall be; the caller's where not given. Another's is for
            administrators.
        expires_in_s: seconds until it ends; ``null`` for never.
    """

    name: str
    principal: str | None = None
    expires_in_s: int | None = None


class TokenDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without its secret. Moments are ISO 8601."""

    id: str
    name: str
    principal: str
    created_at: str | None = None
    expires_at: str | None = None
    last_used_at: str | None = None


class TokenList(msgspec.Struct, frozen=True):
    """The caller's tokens, or everybody's for an administrator."""

    tokens: list[TokenDescription]


class WhoAmI(msgspec.Struct, frozen=True):
    """Who the caller is: the principal, its roles, and the token's id."""

    id: str
    name: str
    roles: list[str]
    token_id: str | None


def login_routes(access: Access, authenticator: Authenticator) -> Router:
    """``/v1/login``; open, because it is where credentials come from. Throttled by address."""

    @post("/", status_code=200, summary="Exchange the one-time secret for a token")
    async def login(request: Request[Any, Any, Any]) -> NewToken:
        wanted = await read_json(request, LoginRequest)
        exchange = partial(_exchange, access, wanted.name)
        token: str = await authenticator.attempt(address_of(request), exchange, wanted.secret)
        return NewToken(token)

    return Router("/v1/login", route_handlers=[login])


def _exchange(access: Access, name: str, secret: str) -> str:
    return access.exchange(secret, name)


def whoami_routes() -> Router:
    """``/v1/whoami``."""

    @get("/", sync_to_thread=False, summary="Who the caller is")
    def whoami(request: Request[Principal, Any, Any]) -> WhoAmI:
        principal = request.user
        parts = bearer_token(request).split("_")
        token_id = parts[1] if len(parts) == 3 and parts[0] == "lh" else None
        return WhoAmI(str(principal.id), principal.name, sorted(principal.roles), token_id)

    return Router("/whoami", route_handlers=[whoami])


def token_routes(access: Access) -> Router:
    """``/v1/tokens``. Whether the caller may is ``access``'s to decide."""

    @post("/", status_code=201, summary="Make a token; it is shown once")
    async def create_token(request: Request[Principal, Any, Any]) -> NewToken:
        wanted = await read_json(request, TokenRequest)
        seconds = wanted.expires_in_s
        if seconds is not None and not 0 < seconds <= EXPIRES_MAX_S:
            raise InvalidRequest(f"expires_in_s must be above 0 and at most {EXPIRES_MAX_S}")
        token = await run_sync(
            partial(
                access.create_token,
                wanted.principal or request.user.name,
                name=wanted.name,
                expires_in=None if seconds is None else timedelta(seconds=seconds),
                by=request.user,
            )
        )
        return NewToken(token)

    @get("/", sync_to_thread=True, summary="Tokens, without their secrets")
    def list_tokens(request: Request[Principal, Any, Any]) -> TokenList:
        return TokenList([_describe(found) for found in access.tokens(by=request.user)])

    @delete("/{token_id:str}", sync_to_thread=True, summary="Revoke a token at once")
    def revoke_token(request: Request[Principal, Any, Any], token_id: FromPath[str]) -> None:
        access.revoke_token(parse_id(token_id, "token id"), by=request.user)

    return Router("/tokens", route_handlers=[create_token, list_tokens, revoke_token])


def _describe(token: Any) -> TokenDescription:
    def moment(name: str) -> str | None:
        value = getattr(token, name, None)
        return None if value is None else value.isoformat()

    return TokenDescription(
        id=str(token.id),
        name=token.name,
        principal=token.principal,
        created_at=moment("created_at"),
        expires_at=moment("expires_at"),
        last_used_at=moment("last_used_at"),
    )
