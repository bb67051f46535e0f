"""What an object store is to the rest of Lakehold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it; ``size`` in bytes, ``modified`` in UTC."""

    location: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """Objects under one root, the warehouse. Thread safe.

    Every method takes a location under the root and refuses any other with
    ``InvalidDefinition``: by its text, and on local disk by where its links lead. All raise
    ``StorageFailed`` when the store is full, read-only or cannot be reached.
    """

    @property
    def root(self) -> str:
        """The warehouse's location, without a slash at its end."""

    def check(self, location: str) -> str:
        """Return ``location``, or raise ``InvalidDefinition`` if it is outside of the root."""

    def read(self, location: str) -> bytes:
        """The whole object; ``ObjectMissing`` if there is none."""

    def write(self, location: str, data: bytes, *, overwrite: bool = False) -> None:
        """Make an object: whole and durable when this returns, or not there at all.

        Raises:
            ObjectExists: if there is one, and ``overwrite`` is not asked for.
        """

    def delete(self, location: str) -> None:
        """Remove an object; nothing happens if there is none."""

    def delete_under(self, prefix: str) -> int:
        """Remove every object under ``prefix``, and its folders; returns how many objects."""

    def exists(self, location: str) -> bool:
        """Whether there is an object."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object under ``prefix``, at any depth, in no order."""

    def make_folder(self, location: str) -> None:
        """Make a folder where the store has folders: writers of some engines expect it."""

    def sync(self, locations: Collection[str]) -> None:
        """Make durable what another process wrote, such as an engine.

        A store whose objects are durable once they are there has nothing to do.

        Raises:
            ObjectMissing: if one of them is not there.
        """

    @property
    def needs_sync(self) -> bool:
        """Whether what others wrote may still be lost with the machine's power."""
