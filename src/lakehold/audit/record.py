"""What a ledger record holds, and its canonical form.

Canonical form: one JSON object (RFC 8259) in UTF-8, keys sorted, no blanks, every field
present, moments in UTC as ``2026-01-31T23:59:59.000000+00:00``, milliseconds rounded to
three decimals. A NUL stands in it as ``\\u0000``; half a surrogate pair, which UTF-8 cannot
hold, is written out as the six characters of its escape. The text is stored as it was hashed,
so that no reader has to make it again.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

STATEMENT_BYTES_MAX = 64 * 1024
"""Bytes of a statement's text that a record keeps; of a longer one also length and SHA-256."""

TEXT_BYTES_MAX = 8 * 1024
"""Bytes of a reason or an error message that a record keeps."""

COUNT_MAX = 2**63 - 1

LABEL_BYTES_MAX = 1024
"""Bytes of what a client says of itself (address, application, purpose) that a record keeps."""

_KEYS = UUID("6f8f8d0a-7f0e-4d0b-9d52-5b0c3a1e77aa")


@dataclass(frozen=True, slots=True)
class StatementStart:
    """A statement as it begins.

    Attributes:
        id: the statement's identity; a client may choose it, so it need not be unique.
        at: when it was accepted.
        roles: the active roles.
        kind: command tag, ``SELECT``, ``INSERT`` …
        statement: its text, of any length.
        fingerprint: the same for statements that differ in literals alone.
    """

    id: UUID
    at: datetime
    principal_id: UUID
    principal: str
    roles: tuple[str, ...]
    protocol: str
    session_id: UUID
    kind: str
    statement: str
    fingerprint: str
    purpose: str | None = None
    address: str = ""
    application: str = ""

    @property
    def key(self) -> UUID:
        """What makes the record unique: the same for each try to record this statement."""
        text = f"{self.id}/{self.session_id}/{self.principal_id}/{moment(self.at)}"
        return uuid.uuid5(_KEYS, text)


@dataclass(frozen=True, slots=True)
class StatementOutcome:
    """A statement as it ended.

    Attributes:
        status: ``ok``, ``failed``, ``cancelled``, ``refused`` or ``interrupted``.
        decision: ``allowed`` or ``refused``.
        reason: why it was allowed or refused.
        reads: table → the columns that were read.
        writes: tables that were changed.
        bytes: of the result, as Arrow.
        duration_ms: from acceptance to the last row.
    """

    status: str
    decision: str
    reason: str = ""
    sqlstate: str | None = None
    error: str | None = None
    reads: Mapping[str, Sequence[str]] = field(default_factory=dict)
    writes: Sequence[str] = ()
    engine: str | None = None
    rows: int = 0
    bytes: int = 0
    duration_ms: float = 0.0


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A ledger record; see ``StatementStart`` and ``StatementOutcome`` for its fields.

    Attributes:
        seq: its number in the chain, from 1.
        key: of the statement; no two records have the same.
        recorded_at: when it was put into the chain, by the platform's clock.
        instance: the run of the platform that ran the statement.
        statement_bytes, statement_sha256: of the whole text, which may have been cut.
    """

    seq: int
    key: str
    recorded_at: str
    instance: str
    statement_id: str
    started_at: str
    principal_id: str
    principal: str
    roles: list[str]
    purpose: str | None
    protocol: str
    address: str
    application: str
    session_id: str
    kind: str
    statement: str
    statement_bytes: int
    statement_sha256: str
    fingerprint: str
    status: str
    decision: str
    reason: str
    sqlstate: str | None
    error: str | None
    reads: dict[str, list[str]]
    writes: list[str]
    engine: str | None
    rows: int
    bytes: int
    duration_ms: float

    @property
    def tables(self) -> list[str]:
        """The tables that were read or written, for searching."""
        return sorted({searchable(name) for name in (*self.reads, *self.writes)})


def start_fields(start: StatementStart) -> dict[str, Any]:
    """The part of a record that is known when a statement begins."""
    whole = start.statement.encode("utf-8", "backslashreplace")
    return {
        "key": str(start.key),
        "statement_id": str(start.id),
        "started_at": moment(start.at),
        "principal_id": str(start.principal_id),
        "principal": clean(start.principal),
        "roles": [clean(role) for role in start.roles],
        "purpose": None if start.purpose is None else clean(start.purpose, LABEL_BYTES_MAX),
        "protocol": clean(start.protocol, LABEL_BYTES_MAX),
        "address": clean(start.address, LABEL_BYTES_MAX),
        "application": clean(start.application, LABEL_BYTES_MAX),
        "session_id": str(start.session_id),
        "kind": clean(start.kind, LABEL_BYTES_MAX),
        "statement": cut(whole, STATEMENT_BYTES_MAX),
        "statement_bytes": len(whole),
        "statement_sha256": hashlib.sha256(whole).hexdigest(),
        "fingerprint": clean(start.fingerprint, LABEL_BYTES_MAX),
    }


def outcome_fields(outcome: StatementOutcome) -> dict[str, Any]:
    """The part of a record that is known when a statement has ended."""
    return {
        "status": clean(outcome.status, LABEL_BYTES_MAX),
        "decision": clean(outcome.decision, LABEL_BYTES_MAX),
        "reason": clean(outcome.reason, TEXT_BYTES_MAX),
        "sqlstate": None if outcome.sqlstate is None else clean(outcome.sqlstate, LABEL_BYTES_MAX),
        "error": None if outcome.error is None else clean(outcome.error, TEXT_BYTES_MAX),
        "reads": {
            clean(table): [clean(column) for column in columns]
            for table, columns in outcome.reads.items()
        },
        "writes": [clean(table) for table in outcome.writes],
        "engine": None if outcome.engine is None else clean(outcome.engine, LABEL_BYTES_MAX),
        "rows": _count(outcome.rows),
        "bytes": _count(outcome.bytes),
        "duration_ms": _milliseconds(outcome.duration_ms),
    }


def _count(number: int) -> int:
    """A number that 64 bits hold."""
    return max(0, min(int(number), COUNT_MAX))


def _milliseconds(number: float) -> float:
    """A number that JSON has: no infinity, and what is none is 0."""
    return round(float(number), 3) if math.isfinite(number) else 0.0


_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder(Record)


def canonical(record: Record) -> bytes:
    """The canonical form."""
    return _encoder.encode(record)


def parse(text: str | bytes) -> Record:
    """A record from its canonical form.

    Raises:
        msgspec.DecodeError: if it is none.
    """
    return _decoder.decode(text)


def seal_opened(key: bytes, instance: str, start: str) -> bytes:
    """What binds an open statement to the platform's key, until a record of the chain does."""
    text = f"opened\0{instance}\0{start}"
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")


def moment(at: datetime) -> str:
    """A moment in UTC with six decimals."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def clean(text: str, bytes_max: int | None = None) -> str:
    """Text that UTF-8 can hold, cut to a number of bytes between two characters."""
    encoded = text.encode("utf-8", "backslashreplace")
    return cut(encoded, bytes_max) if bytes_max is not None else encoded.decode()


def cut(encoded: bytes, bytes_max: int) -> str:
    """The beginning of a text, at most so many bytes, whole characters."""
    return encoded[:bytes_max].decode("utf-8", "ignore")


def searchable(text: str) -> str:
    """Text as PostgreSQL can hold it: without NUL and the separator that ``store`` uses."""
    return text.replace("\0", "\\0").replace("\x1f", "\\x1f")
