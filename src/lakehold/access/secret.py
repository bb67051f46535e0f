"""The text of a token: ``lh_<id>_<secret>``, and the keyed hash that is kept of it. Pure."""

from __future__ import annotations

import hmac
import re
import secrets
import uuid
from dataclasses import dataclass
from uuid import UUID

SECRET_BYTES = 24
"""Randomness of a token's secret: 192 bits."""

_FORM = re.compile(r"lh_([0-9a-f]{32})_[0-9a-f]{48}\Z")
_NO_DIGEST = b"\0" * 32


@dataclass(frozen=True, slots=True)
class Secret:
    """A new token: its public id, and the text that is shown once."""

    id: UUID
    text: str

    @staticmethod
    def new() -> Secret:
        """One that nobody can guess."""
        identity = uuid.uuid4()
        return Secret(identity, f"lh_{identity.hex}_{secrets.token_hex(SECRET_BYTES)}")


def identity_of(text: str) -> UUID | None:
    """The id in a token's text; ``None`` if the text is no token."""
    found = _FORM.match(text)
    return UUID(hex=found[1]) if found else None


def digest(key: bytes, text: str) -> bytes:
    """HMAC-SHA256 of a token's text (RFC 2104).

    A plain keyed hash is enough: the text has 192 bits of randomness, so there is nothing to
    guess that a slow hash would have to protect.
    """
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")


def matches(presented: bytes, kept: bytes | None) -> bool:
    """Compare digests in constant time, also where there is none to compare with."""
    return hmac.compare_digest(presented, kept if kept is not None else _NO_DIGEST)
