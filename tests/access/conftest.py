"""Fixtures: access on a fresh database, with a clock that tests move."""

from __future__ import annotations

import pytest

from access.hand_clock import KEY, HandClock
from lakehold.access import Access
from lakehold.state import Database


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
