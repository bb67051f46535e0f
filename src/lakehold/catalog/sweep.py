"""Deleting what no metadata refers to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from lakehold.catalog import commit, store
from lakehold.catalog.resources import Resources

SAFETY_AGE = timedelta(days=3)
"""Files younger than this may belong to a commit that is under way (Iceberg's own default)."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep deleted."""

    files: int = 0
    bytes: int = 0
    skipped: tuple[str, ...] = ()


def sweep(resources: Resources, older_than: timedelta) -> SweepReport:
    """Delete what was dropped with ``purge`` and could not be deleted then."""
    with resources.database.transaction(read_only=True) as conn:
        garbage = store.all_garbage(conn)
    return SweepReport(commit.empty(resources, garbage))
