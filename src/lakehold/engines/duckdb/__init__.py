"""DuckDB, embedded: the engine of one machine, its parser, and its lockdown."""

from __future__ import annotations

from lakehold.engines.duckdb.engine import (
    EXTENSIONS,
    DuckDBEngine,
    EngineLimits,
    ObjectStoreAccess,
    WriterSlot,
    extension_path,
)
from lakehold.engines.duckdb.parser import DuckDBParser, StatementText, Token

__all__ = [
    "EXTENSIONS",
    "DuckDBEngine",
    "DuckDBParser",
    "EngineLimits",
    "ObjectStoreAccess",
    "StatementText",
    "Token",
    "WriterSlot",
    "extension_path",
]
