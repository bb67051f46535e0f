"""A ledger on a fresh database, and statements to record."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lakehold.audit import Ledger, StatementOutcome, StatementStart
from lakehold.clock import system_clock
from lakehold.state import Database

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


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "checkpoints.jsonl"


@pytest.fixture
def make_ledger(database: Database, checkpoint_file: Path) -> Iterator[Callable[..., Ledger]]:
    """Makes ledgers on the test's database, as several platforms would."""
    made: list[Ledger] = []

    def make(**options: Any) -> Ledger:
        settings: dict[str, Any] = {"checkpoints": checkpoint_file} | options
        made.append(Ledger(database, system_clock, KEY, **settings))
        return made[-1]

    yield make
    for ledger in made:
        ledger.stop()


@pytest.fixture
def ledger(make_ledger: Callable[..., Ledger]) -> Ledger:
    return make_ledger()
