"""What the files of a commit refer to: Iceberg manifests, read before they are believed.

A manifest says where data files are, and whoever may read the table gets the rows of those
files. So a commit from outside whose manifests name files beyond the table's own folder would
show another table's rows to this table's readers: it is refused. And a commit is taken for an
append, for which INSERT suffices, only if its manifests add data files and leave all else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lakehold.catalog.relation import Json
from lakehold.engines.duckdb import DuckDBEngine
from lakehold.errors import InvalidDefinition, LakeholdError, ObjectMissing
from lakehold.storage import is_within, without_scheme

ADDED = 1
"""Status of a manifest entry (Iceberg spec: Manifests): 0 existing, 1 added, 2 deleted."""

DATA = 0
"""Content of a manifest and of a file: data; others are deletes."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as a manifest list names it."""

    path: str
    content: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as a manifest names it."""

    status: int
    content: int
    path: str


class ManifestReader(Protocol):
    """Reads Iceberg's Avro files."""

    def manifests(self, manifest_list: str) -> list[Manifest]: ...

    def entries(self, manifest: str) -> list[Entry]: ...


class EngineManifestReader:
    """Reads them with the embedded engine, which reaches the warehouse only."""

    def __init__(self, engine: DuckDBEngine) -> None:
        self._engine = engine

    def manifests(self, manifest_list: str) -> list[Manifest]:
        """The manifests of a manifest list.

        Raises:
            InvalidDefinition: if there is no such file, or it is something else.
        """
        rows = self._read("manifest_path", "content", manifest_list)
        return [Manifest(path, content or DATA) for path, content in rows]

    def entries(self, manifest: str) -> list[Entry]:
        """The files that a manifest names.

        Raises:
            InvalidDefinition: if there is no such file, or it is something else.
        """
        rows = self._read("status, data_file.file_path", "data_file.content", manifest)
        return [Entry(status, content or DATA, path) for status, path, content in rows]

    def _read(self, columns: str, content: str, path: str) -> list[tuple[Any, ...]]:
        """Format version 1 knows no deletes, and has no column for them."""
        given = without_scheme(path)
        for last in (content, f"{DATA}"):
            try:
                sql = f"SELECT {columns}, {last} FROM read_avro($1)"
                return self._engine.run(sql, [given]).start().rows()
            except LakeholdError as error:
                failure = error
                if isinstance(error, ObjectMissing):
                    break
        raise InvalidDefinition(
            f"{path!r} is not an Iceberg manifest that can be read"
        ) from failure


def examine(
    reader: ManifestReader, metadata: Json | None, location: str, updates: Sequence[Json]
) -> bool:
    """Check what the new snapshots of a commit refer to.

    Args:
        metadata: the table's present metadata; ``None`` for one that is being made.
        location: the table's own folder.

    Returns:
        Whether the commit does no more than add data files to the present state of ``main``.

    Raises:
        InvalidDefinition: if a file lies outside of the table's folder.
    """
    lists = {
        snapshot["snapshot-id"]: snapshot.get("manifest-list")
        for snapshot in (metadata or {}).get("snapshots") or ()
    }
    head = ((metadata or {}).get("refs") or {}).get("main", {}).get("snapshot-id")
    appends = True
    for update in updates:
        if update.get("action") != "add-snapshot":
            continue
        snapshot = update.get("snapshot") or {}
        manifest_list = snapshot.get("manifest-list")
        if not isinstance(manifest_list, str):
            raise InvalidDefinition("a snapshot needs a manifest list")
        _check_within(manifest_list, location)
        parent = snapshot.get("parent-snapshot-id")
        known = reader.manifests(lists[parent]) if lists.get(parent) else []
        adds_only = _examine_list(reader, manifest_list, known, location)
        appends = appends and adds_only and parent == head
        head = snapshot.get("snapshot-id")
        lists[head] = manifest_list
    return appends


def _examine_list(
    reader: ManifestReader, manifest_list: str, known: Collection[Manifest], location: str
) -> bool:
    """Check the manifests that a list has and its parent's has not."""
    listed = reader.manifests(manifest_list)
    before = set(known)
    adds_only = before <= set(listed)
    for manifest in listed:
        if manifest in before:
            continue
        _check_within(manifest.path, location)
        adds_only = adds_only and manifest.content == DATA
        for entry in reader.entries(manifest.path):
            _check_within(entry.path, location)
            adds_only = adds_only and entry.status == ADDED and entry.content == DATA
    return adds_only


def _check_within(path: object, location: str) -> None:
    inside = isinstance(path, str) and is_within(path, location)
    if not inside or {".", ".."} & set(str(path).split("/")):
        raise InvalidDefinition(
            f"the commit refers to {path!r}, which is not in the table's folder {location!r}"
        )
