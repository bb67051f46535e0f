"""DuckDB, embedded: the engine of one machine, its parser, and its lockdown."""

from __future__ import annotations

from lakehold.engines.duckdb.engine import (
    DuckDBEngine,
    EngineLimits,
    ObjectStoreAccess,
    WriterSlot,
)
from lakehold.engines.duckdb.parser import DuckDBParser, StatementText, Token

__all__ = [
    "DuckDBEngine",
    "DuckDBParser",
    "EngineLimits",
    "ObjectStoreAccess",
    "StatementText",
    "Token",
    "WriterSlot",
]
