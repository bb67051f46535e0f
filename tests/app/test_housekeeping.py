"""A platform sweeps by itself."""

from __future__ import annotations

import threading

from lakehold.app.housekeeping import swept
from lakehold.catalog.sweep import SweepReport
from lakehold.errors import StateUnavailable


class Sweeping:
    """A catalog whose first sweep fails."""

    def __init__(self) -> None:
        self.sweeps = 0
        self.twice = threading.Event()

    def sweep(self) -> SweepReport:
        self.sweeps += 1
        if self.sweeps == 1:
            raise StateUnavailable("gone")
        self.twice.set()
        return SweepReport(0, 0, 0)


def test_a_sweep_that_fails_is_tried_again() -> None:
    catalog = Sweeping()
    with swept(catalog, first_s=0.01, every_s=0.01):  # type: ignore[arg-type]
        assert catalog.twice.wait(5)
