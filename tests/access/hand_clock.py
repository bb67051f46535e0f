"""A clock for tests to move, and the key that they use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

KEY = b"k" * 32


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def move(self, by: timedelta) -> None:
        self.now += by
