"""PostgreSQL: embedded or yours, its pool, transactions and migrations."""

from __future__ import annotations

from lakehold.state.database import (
    READ_COMMITTED,
    REPEATABLE_READ,
    Connection,
    Database,
    Isolation,
)
from lakehold.state.embedded import EmbeddedPostgres
from lakehold.state.migrating import Migration, applied, known_migrations, migrate

__all__ = [
    "READ_COMMITTED",
    "REPEATABLE_READ",
    "Connection",
    "Database",
    "EmbeddedPostgres",
    "Isolation",
    "Migration",
    "applied",
    "known_migrations",
    "migrate",
]
