"""Deleting what no metadata refers to.

A failed commit leaves files behind: engines write data and manifests before they commit, and
a crash can come between a metadata file and the swap of its pointer. They do no harm but
take room. A file goes if no live metadata refers to it and it is old enough that no commit
under way can be its own. Where anything cannot be read, nothing is deleted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from lakehold.catalog import avro, commit, store
from lakehold.catalog.relation import Json
from lakehold.catalog.resources import Resources
from lakehold.errors import InvalidDefinition, LakeholdError
from lakehold.storage import ObjectInfo, join, without_scheme

SAFETY_AGE = timedelta(days=3)
"""Files younger than this may belong to a commit that is under way (Iceberg's own default)."""

_CHOSEN_FOLDER = re.compile(r"[^/]+/[^/]+-[0-9a-f]{32}/")
"""How the catalog names the folder of a relation: ``<schema>/<name>-<id>/``."""

_ENTRY: avro.Wanted = {"status": None, "data_file": {"file_path": None}}
_DELETED = 2
"""A manifest entry's status: this snapshot no longer has the file (Iceberg spec, "Manifests")."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did.

    Attributes:
        files: how many objects were deleted.
        bytes: how large those were that had been orphans; purged tables are not counted.
        skipped: locations of tables whose metadata could not be read, and that were left alone.
    """

    files: int = 0
    bytes: int = 0
    skipped: tuple[str, ...] = ()


def sweep(resources: Resources, older_than: timedelta) -> SweepReport:
    """Delete purged tables that are still there, and orphans older than ``older_than``.

    The files of dropped tables that were not purged are kept.
    """
    with resources.database.transaction(read_only=True) as conn:
        garbage = store.all_garbage(conn)
    purged = commit.empty(resources, garbage)
    now = resources.clock()
    cutoff = min(now - older_than, resources.open_since() or now)

    # Old files are listed first and pointers read after: what a commit makes live meanwhile
    # is seen as live.
    listing = list(resources.store.list(resources.store.root))
    with resources.database.transaction(read_only=True) as conn:
        live = {p.location: p.metadata_location for p in store.pointers_of_schemas(conn, None)}
        kept = [dropped.location for dropped in store.dropped_relations(conn)]
    orphans, skipped = _orphans(resources, listing, cutoff, live, kept)
    for item in orphans:
        resources.store.delete(item.location)
    size = sum(item.size for item in orphans)
    _log.info("catalog swept", files=len(orphans), bytes=size, skipped=len(skipped))
    return SweepReport(purged + len(orphans), size, tuple(skipped))


def _orphans(
    resources: Resources,
    listing: Iterable[ObjectInfo],
    cutoff: datetime,
    live: dict[str, str],
    kept: list[str],
) -> tuple[list[ObjectInfo], list[str]]:
    """Which old files nobody refers to, and the tables that could not be read."""
    by_folder: dict[str, list[ObjectInfo]] = {}
    orphans: list[ObjectInfo] = []
    folders = _Folders([*live, *kept])
    for item in listing:
        folder = folders.around(item.location)
        if folder in live:
            by_folder.setdefault(folder, []).append(item)
        elif folder is None and item.modified < cutoff and _is_ours(resources, item.location):
            orphans.append(item)
    skipped = []
    for folder, items in by_folder.items():
        if all(item.modified >= cutoff for item in items):
            continue
        try:
            used = _used(resources, folder, live[folder], items)
        except LakeholdError as error:
            _log.warning("table left unswept", location=folder, reason=error.message)
            skipped.append(folder)
            continue
        orphans += [
            item
            for item in items
            if item.modified < cutoff and without_scheme(item.location) not in used
        ]
    return orphans, skipped


def _used(
    resources: Resources, folder: str, metadata_location: str, items: Iterable[ObjectInfo]
) -> set[str]:
    """The locations in a folder that metadata refers to.

    What must be there is looked up in the listing. If it is not found, either the table is
    damaged or its locations are written in a way that cannot be compared with a listing:
    then nothing may be deleted.
    """
    used: set[str] = set()
    needed: set[str] = set()
    for location, must_exist in references(resources, metadata_location):
        used.add(location)
        if must_exist:
            needed.add(location)
    needed -= {without_scheme(item.location) for item in items}
    if needed:
        needed -= {without_scheme(item.location) for item in resources.store.list(folder)}
    if needed:
        raise InvalidDefinition(f"{min(needed)!r} is referred to and is not there")
    return used


class _Folders:
    """Finds the relation's folder around a file, whatever its depth."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = {without_scheme(folder): folder for folder in folders}

    def around(self, location: str) -> str | None:
        path = without_scheme(location)
        while "/" in path:
            path = path.rpartition("/")[0]
            if path in self._folders:
                return self._folders[path]
        return None


def _is_ours(resources: Resources, location: str) -> bool:
    """Whether a file is in a folder that the catalog has made for a relation."""
    root = without_scheme(resources.store.root).rstrip("/") + "/"
    return bool(_CHOSEN_FOLDER.match(without_scheme(location).removeprefix(root)))


def references(resources: Resources, metadata_location: str) -> Iterator[tuple[str, bool]]:
    """Every location that metadata refers to, without scheme, and whether it must be there.

    Raises:
        LakeholdError: if any of it cannot be read.
    """
    metadata = resources.files.read(metadata_location)
    yield without_scheme(metadata_location), True
    for entry in metadata.get("metadata-log") or ():
        yield without_scheme(entry["metadata-file"]), False
    for name in ("statistics", "partition-statistics"):
        for item in metadata.get(name) or ():
            yield without_scheme(item["statistics-path"]), False
    hint = join(str(metadata.get("location", "")), "metadata", "version-hint.text")
    yield without_scheme(hint), False
    seen: set[str] = set()
    for snapshot in metadata.get("snapshots") or ():
        if "manifest-list" in snapshot:
            yield without_scheme(snapshot["manifest-list"]), True
        for manifest in _manifests(resources, snapshot):
            if manifest in seen:
                continue
            seen.add(manifest)
            yield without_scheme(manifest), True
            for entry in avro.records(resources.store.read(manifest), _ENTRY):
                location = without_scheme(entry["data_file"]["file_path"])
                yield location, entry["status"] != _DELETED


def _manifests(resources: Resources, snapshot: Json) -> list[str]:
    if "manifest-list" not in snapshot:
        return list(snapshot.get("manifests") or ())
    data = resources.store.read(snapshot["manifest-list"])
    return [str(item["manifest_path"]) for item in avro.records(data, {"manifest_path": None})]
