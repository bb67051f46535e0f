"""What a ledger record holds, and the canonical form of it that is hashed.

Canonical form: the JSON of RFC 8259 in UTF-8 with sorted keys and without blanks, as
``msgspec.json.encode(..., order="sorted")`` writes it. Moments are ISO 8601 in UTC with
microseconds; NUL characters are written as ``\\u2400`` (PostgreSQL's text cannot hold them).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

TEXT_MAX = 64 * 1024
"""Characters of a statement that are kept; of a longer one, also its length and SHA-256."""

VERSION = 1


@dataclass(frozen=True, slots=True)
class StatementStart:
    """What is known of a statement before it runs."""

    id: UUID
    at: datetime
    principal_id: UUID
    principal: str
    roles: tuple[str, ...]
    purpose: str | None
    protocol: str
    address: str
    application: str
    session_id: UUID
    kind: str
    statement: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class StatementOutcome:
    """How it ended.

    Attributes:
        status: ``ok``, ``failed``, ``refused``, ``cancelled`` or ``interrupted``.
        decision: ``allowed`` or ``refused``.
        reads: table → columns that may have been read; never fewer than were.
        writes: tables that were written.
        duration_ms: milliseconds from acceptance to the last row.
    """

    status: str
    decision: str
    reason: str = ""
    sqlstate: str | None = None
    error: str | None = None
    reads: dict[str, list[str]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    engine: str | None = None
    rows: int = 0
    bytes: int = 0
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class StatementTicket:
    """An open statement whose record is still to be completed."""

    start: StatementStart
    body: bytes = field(repr=False)


INTERRUPTED = StatementOutcome(
    "interrupted", "allowed", "the platform stopped before the statement ended"
)


def start_body(start: StatementStart) -> dict[str, Any]:
    """The start as plain JSON."""
    body = asdict(start)
    text = start.statement
    body["statement"] = text[:TEXT_MAX]
    if len(text) > TEXT_MAX:
        body["statement_length"] = len(text)
        body["statement_sha256"] = hashlib.sha256(text.encode(errors="replace")).hexdigest()
    body["id"], body["principal_id"] = str(start.id), str(start.principal_id)
    body["session_id"] = str(start.session_id)
    body["at"] = moment(start.at)
    body["roles"] = list(start.roles)
    cleaned: dict[str, Any] = _clean(body)
    return cleaned


def record_body(start: dict[str, Any], outcome: StatementOutcome) -> bytes:
    """The canonical form of a whole record."""
    body = start | _clean(asdict(outcome)) | {"version": VERSION}
    body["duration_ms"] = round(outcome.duration_ms, 3)
    return encode(body)


def encode(body: dict[str, Any]) -> bytes:
    """The canonical form."""
    return msgspec.json.encode(body, order="sorted")


def moment(at: datetime) -> str:
    """A moment in the canonical form."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _clean(value: Any) -> Any:
    """Text that PostgreSQL and UTF-8 can hold."""
    if isinstance(value, str):
        return value.replace("\0", "\u2400").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {str(_clean(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
