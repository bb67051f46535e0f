"""What the catalog's transactions share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from uuid import UUID

from lakehold.catalog.files import MetadataFiles
from lakehold.catalog.locks import WriterQueues
from lakehold.clock import Clock
from lakehold.state import Database
from lakehold.storage import ObjectStore


@dataclass(slots=True)
class Resources:
    """One per catalog. ``open_since`` tells a sweep which transactions may still write."""

    database: Database
    store: ObjectStore
    files: MetadataFiles
    clock: Clock
    queues: WriterQueues = field(default_factory=WriterQueues)
    _open: dict[UUID, datetime] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def began(self, transaction_id: UUID, at: datetime) -> None:
        """Remember that a transaction is open."""
        with self._lock:
            self._open[transaction_id] = at

    def ended(self, transaction_id: UUID) -> None:
        """Forget a transaction."""
        with self._lock:
            self._open.pop(transaction_id, None)

    def open_since(self) -> datetime | None:
        """When the oldest open transaction of this process began."""
        with self._lock:
            return min(self._open.values(), default=None)
