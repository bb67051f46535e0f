"""What a platform does by itself: files that failed commits left behind are swept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from lakehold.catalog import Catalog
from lakehold.errors import LakeholdError

log = structlog.get_logger(__name__)

FIRST_S = 600.0
"""Seconds after the start of the first sweep, so that starting is not slowed."""

EVERY_S = 6 * 3600.0
"""Seconds between two sweeps."""


@contextmanager
def swept(
    catalog: Catalog, *, first_s: float = FIRST_S, every_s: float = EVERY_S
) -> Iterator[None]:
    """While this lasts, orphans are swept now and then (see ``catalog.sweep``)."""
    ended = threading.Event()

    def work() -> None:
        pause_s = first_s
        while not ended.wait(pause_s):
            pause_s = every_s
            try:
                report = catalog.sweep()
            except LakeholdError as error:
                log.warning("sweep_failed", error=error.message)
                continue
            except Exception as error:
                log.error("sweep_failed", exc_info=error)
                continue
            log.info("swept", files=report.files, bytes=report.bytes, skipped=report.skipped)

    thread = threading.Thread(target=work, name="lakehold-housekeeping", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=10)
