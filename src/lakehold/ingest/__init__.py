"""Files on the way in: staged, read, checked; written through the gateway like anything else."""

from __future__ import annotations

from lakehold.ingest.loading import (
    FORMATS,
    LoadMode,
    LoadOptions,
    LoadSummary,
    Preview,
    load,
    parse_columns,
    preview,
    table_name,
)
from lakehold.ingest.staging import ArrowInput, StagedFile, StagingArea

__all__ = [
    "FORMATS",
    "ArrowInput",
    "LoadMode",
    "LoadOptions",
    "LoadSummary",
    "Preview",
    "StagedFile",
    "StagingArea",
    "load",
    "parse_columns",
    "preview",
    "table_name",
]
