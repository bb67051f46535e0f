"""Making durable what an engine wrote, before a commit refers to it.

Engines write data files and manifests without syncing them. An acknowledged row must survive
the loss of power (invariant 4), so every file that a new snapshot adds is synced first, and so
is the folder that holds its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lakehold.catalog import avro
from lakehold.catalog.relation import Json
from lakehold.errors import InvalidDefinition, ObjectMissing
from lakehold.storage import ObjectStore, is_within

_LISTED: avro.Wanted = {"manifest_path": None, "added_snapshot_id": None}
_ENTRY: avro.Wanted = {"status": None, "data_file": {"file_path": None}}
_ADDED = 1
"""A manifest entry's status: this snapshot brought the file (Iceberg spec, "Manifests")."""


def sync_snapshots(store: ObjectStore, location: str, updates: Iterable[Json]) -> None:
    """Sync the files of every snapshot that is added, where the store needs it.

    Raises:
        InvalidDefinition: if a snapshot adds a file that is not there, or is not in the
            table's own folder.
    """
    if not store.needs_sync:
        return
    files: list[str] = []
    for update in updates:
        if update.get("action") == "add-snapshot":
            files += _added_files(store, update.get("snapshot") or {})
    for file in files:
        if not is_within(file, location):
            raise InvalidDefinition(f"{file!r} is outside of the table's location")
    try:
        store.sync(files)
    except ObjectMissing as error:
        raise InvalidDefinition(f"the snapshot adds a file that is not there: {error}") from error


def _added_files(store: ObjectStore, snapshot: Json) -> Iterator[str]:
    """What a snapshot adds: data files, the manifests that name them, the list of those."""
    manifest_list = snapshot.get("manifest-list")
    if manifest_list is None:
        return
    for manifest in avro.records(_read(store, manifest_list), _LISTED):
        if manifest.get("added_snapshot_id") != snapshot.get("snapshot-id"):
            continue
        path = manifest["manifest_path"]
        for entry in avro.records(_read(store, path), _ENTRY):
            if entry["status"] == _ADDED:
                yield entry["data_file"]["file_path"]
        yield path
    yield manifest_list


def _read(store: ObjectStore, location: str) -> bytes:
    try:
        return store.read(location)
    except ObjectMissing as error:
        raise InvalidDefinition(f"the snapshot refers to {location!r}: not there") from error
