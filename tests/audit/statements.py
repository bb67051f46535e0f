"""Statements to record, for the tests of the ledger."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from lakehold.audit import StatementOutcome, StatementStart

KEY = b"a key that PostgreSQL never sees"

OK = StatementOutcome(
    status="ok",
    decision="allowed",
    reason="SELECT on the table through role analyst",
    reads={"sales.orders": ["id", "amount"]},
    engine="duckdb",
    rows=3,
    bytes=120,
    duration_ms=1.25,
)


def begin(**changes: Any) -> StatementStart:
    """A statement that begins; a new one each time."""
    fields: dict[str, Any] = {
        "id": uuid.uuid4(),
        "at": datetime.now(UTC),
        "principal_id": uuid.UUID(int=7),
        "principal": "ada",
        "roles": ("analyst",),
        "protocol": "http",
        "session_id": uuid.uuid4(),
        "kind": "SELECT",
        "statement": "SELECT id, amount FROM sales.orders",
        "fingerprint": "0123456789abcdef",
    }
    return StatementStart(**(fields | changes))
