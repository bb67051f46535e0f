"""Files on the way in: staged, read, checked; written through the gateway like anything else."""

from __future__ import annotations

from lakehold.ingest.staging import StagedFile, StagingArea, open_arrow

__all__ = ["StagedFile", "StagingArea", "open_arrow"]
