"""The chain: each record's hash covers its number, the hash before it, and its body.

``hash(n) = HMAC-SHA256(key, n as 8 bytes big-endian ‖ hash(n-1) ‖ body(n))``, with
``hash(0)`` empty. Without the platform's key, which is not in PostgreSQL, no record can be
changed, left out, moved or added so that the chain still fits.
"""

from __future__ import annotations

import hmac

SIZE = 32
"""Bytes of a hash."""


def next_hash(key: bytes, seq: int, before: bytes, body: bytes) -> bytes:
    """The hash of record ``seq``."""
    return hmac.digest(key, seq.to_bytes(8, "big") + before + body, "sha256")
