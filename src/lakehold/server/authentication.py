"""Who is calling: a Bearer token becomes a principal (RFC 6750).

Failed attempts are counted per address, so that guessing is slow; the tokens themselves carry
256 bits and cannot be guessed.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from anyio.to_thread import run_sync
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from lakehold.errors import NotAuthenticated, TooManyRequests
from lakehold.identity import Client, Principal, Protocol

FAILURES_MAX = 20
"""Failed attempts that one address may make within ``FAILURE_WINDOW_S``."""
FAILURE_WINDOW_S = 60.0
ADDRESSES_MAX = 10_000
"""Addresses remembered; the oldest are forgotten."""
APPLICATION_LENGTH_MAX = 200
TOKEN_LENGTH_MAX = 4096


class FailureThrottle:
    """Counts failed attempts per address in a sliding window."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[str, list[float]] = OrderedDict()

    def check(self, address: str) -> None:
        """Raise ``TooManyRequests`` if ``address`` has failed too often of late."""
        since = self._now() - FAILURE_WINDOW_S
        recent = [at for at in self._failures.get(address, ()) if at > since]
        if len(recent) < FAILURES_MAX:
            return
        raise TooManyRequests(
            "too many failed attempts from this address",
            retry_after_s=max(1, int(recent[0] - since) + 1),
        )

    def failed(self, address: str) -> None:
        """Remember a failed attempt."""
        since = self._now() - FAILURE_WINDOW_S
        recent = [at for at in self._failures.pop(address, ()) if at > since]
        self._failures[address] = [*recent[-FAILURES_MAX:], self._now()]
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, address: str) -> None:
        """Forget the failures of an address that has shown a good token."""
        self._failures.pop(address, None)


class Authenticator:
    """Turns the ``Authorization`` header of a request into a principal.

    Args:
        authenticate: token → principal; raises ``NotAuthenticated``. May block.
    """

    def __init__(
        self,
        authenticate: Callable[[str], Principal],
        throttle: FailureThrottle | None = None,
    ) -> None:
        self._authenticate = authenticate
        self._throttle = throttle if throttle is not None else FailureThrottle()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Authenticator:
        """Litestar copies the guards of a handler; there is one authenticator for all."""
        return self

    async def principal(self, connection: ASGIConnection[Any, Any, Any, Any]) -> Principal:
        """Return the principal of the request.

        Raises:
            NotAuthenticated: no token, or one that is wrong, expired or revoked.
            TooManyRequests: this address has failed too often.
        """
        found: Principal = await self.attempt(
            address_of(connection), self._authenticate, bearer_token(connection)
        )
        return found

    async def attempt(self, address: str, check: Callable[[str], Any], secret: str) -> Any:
        """Run a check of a secret in a thread, counting failures against ``address``."""
        self._throttle.check(address)
        try:
            result = await run_sync(check, secret)
        except NotAuthenticated:
            self._throttle.failed(address)
            raise
        self._throttle.succeeded(address)
        return result

    async def guard(
        self, connection: ASGIConnection[Any, Any, Any, Any], _handler: BaseRouteHandler
    ) -> None:
        """A Litestar guard: leaves the principal in the connection's ``user``."""
        connection.scope["user"] = await self.principal(connection)


def bearer_token(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """Return the token of the ``Authorization`` header."""
    values = connection.headers.getall("authorization", [])
    if not values:
        raise NotAuthenticated(
            "a Bearer token is needed",
            hint="Send the header 'Authorization: Bearer <token>'.",
        )
    scheme, _, token = values[0].strip().partition(" ")
    token = token.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not token or len(token) > TOKEN_LENGTH_MAX:
        raise NotAuthenticated("the Authorization header must be 'Bearer <token>', once")
    if not token.isascii() or not token.isprintable():
        raise NotAuthenticated("the token holds characters that no token has")
    return token


def address_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The address of the peer, without its port."""
    return connection.client.host if connection.client is not None else ""


def client_of(
    connection: ASGIConnection[Any, Any, Any, Any], protocol: Protocol = Protocol.HTTP
) -> Client:
    """Where the request came from, for the ledger."""
    application = connection.headers.get("user-agent", "")
    clean = "".join(c for c in application if c.isprintable())
    return Client(protocol, address_of(connection), clean[:APPLICATION_LENGTH_MAX])
