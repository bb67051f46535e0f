"""Fixtures: access on a fresh database, with a clock that tests move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lakehold.access import Access
from lakehold.state import Database

KEY = b"k" * 32


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def access(database: Database, clock: HandClock) -> Access:
    """Access before its first start: without users."""
    return Access(database, clock, KEY)


@pytest.fixture
def started(access: Access) -> Access:
    """Access with its administrator, and the users ``ann`` and ``bob``."""
    access.bootstrap()
    with access._database.transaction() as conn:
        access.create_user(conn, "ann")
        access.create_user(conn, "bob")
    return access
