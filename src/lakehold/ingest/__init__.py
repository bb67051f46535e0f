"""Files on the way in: staged, read, checked; written through the gateway like anything else."""

from __future__ import annotations

from lakehold.engines import EngineColumn as FileColumn
from lakehold.engines.duckdb.files import Reject
from lakehold.ingest.loading import (
    FORMATS,
    Compression,
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
    "Compression",
    "FileColumn",
    "LoadMode",
    "LoadOptions",
    "LoadSummary",
    "Preview",
    "Reject",
    "StagedFile",
    "StagingArea",
    "load",
    "parse_columns",
    "preview",
    "table_name",
]
