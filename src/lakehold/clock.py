"""Time, passed in, so that expiry and retention can be tested."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]
"""Returns the present moment, with its time zone (UTC)."""


def system_clock() -> datetime:
    """The machine's time in UTC."""
    return datetime.now(UTC)
