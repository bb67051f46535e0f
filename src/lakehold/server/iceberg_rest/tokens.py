"""The token endpoint: OAuth 2 client credentials (RFC 6749 §4.4) and token exchange.

The client's secret is one of our tokens. It becomes a short-lived access token, so that
engines need not keep the long-lived one. Our tokens are accepted as they are, too.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote_plus

from lakehold.identity import Principal

ACCESS_TOKEN_TTL_S = 3600
GRANTS = ("client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange")
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"


class Tokens(Protocol):
    """What the endpoint needs of ``access``."""

    def authenticate(self, token: str) -> Principal: ...

    def issue_access_token(
        self, principal: Principal, ttl_s: int, *, made_from: str | None = None
    ) -> str: ...


class OAuthRefusal(Exception):
    """An error in OAuth's own form (RFC 6749 §5.2)."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


def secret_of(body: bytes, headers: Mapping[str, str]) -> str:
    """The secret that a token request proves itself with.

    Raises:
        OAuthRefusal: if there is none, or the grant is another.
    """
    form = _form(body, headers)
    grant = form.get("grant_type")
    if grant not in GRANTS:
        known = " or ".join(GRANTS)
        raise OAuthRefusal(400, "unsupported_grant_type", f"grant_type must be {known}")
    if grant == GRANTS[1]:
        secret = form.get("subject_token")
    else:
        secret = form.get("client_secret") or _basic(headers.get("authorization", ""))
    if not secret:
        raise OAuthRefusal(401, "invalid_client", "the client's secret is missing")
    return secret


def grant(tokens: Tokens, secret: str) -> dict[str, Any]:
    """The ``OAuthTokenResponse`` for a secret.

    Raises:
        NotAuthenticated: if the secret is wrong, expired or revoked.
    """
    principal = tokens.authenticate(secret)
    return {
        "access_token": tokens.issue_access_token(principal, ACCESS_TOKEN_TTL_S, made_from=secret),
        "token_type": "bearer",
        "expires_in": ACCESS_TOKEN_TTL_S,
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "scope": "catalog",
    }


def _form(body: bytes, headers: Mapping[str, str]) -> dict[str, str]:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise OAuthRefusal(
            400, "invalid_request", "the body must be application/x-www-form-urlencoded"
        )
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=100, errors="strict"
        )
    except (ValueError, UnicodeDecodeError):
        raise OAuthRefusal(400, "invalid_request", "the form cannot be read") from None
    form = dict(pairs)
    if len(form) < len(pairs):
        raise OAuthRefusal(400, "invalid_request", "a parameter is given twice")
    return form


def _basic(header: str) -> str | None:
    """The password of HTTP Basic authentication (RFC 6749 §2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise OAuthRefusal(401, "invalid_client", "the Basic credentials are malformed") from None
    return unquote_plus(text.partition(":")[2])
