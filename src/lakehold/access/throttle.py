"""Failed authentications, counted per address, so that nobody can try for long."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from lakehold.errors import TooManyRequests

FAILURES_MAX = 20
"""Failed attempts that one address may make within ``WINDOW_S``."""

WINDOW_S = 60.0
"""Seconds for which a failed attempt counts."""

ADDRESSES_MAX = 10_000
"""Addresses remembered; of more, the ones that failed longest ago are forgotten."""


class Throttle:
    """Counts failures per address. Thread safe; bounded memory.

    Args:
        now: seconds on a clock that only goes forward.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, address: str) -> None:
        """Let an address try, unless it failed too often.

        Raises:
            TooManyRequests: with the seconds until it may try again.
        """
        with self._lock:
            recent = self._recent(address)
        if len(recent) >= FAILURES_MAX:
            wait_s = recent[0] + WINDOW_S - self._now()
            raise TooManyRequests(
                "too many failed attempts from this address", retry_after_s=max(1, int(wait_s) + 1)
            )

    def failed(self, address: str) -> None:
        """Count a failure."""
        with self._lock:
            recent = [*self._recent(address), self._now()]
            self._failures[address] = recent[-FAILURES_MAX:]
            self._failures.move_to_end(address)
            while len(self._failures) > ADDRESSES_MAX:
                self._failures.popitem(last=False)

    def _recent(self, address: str) -> list[float]:
        since = self._now() - WINDOW_S
        return [at for at in self._failures.get(address, ()) if at > since]
