"""What no commit may do, whoever sends it: reach for files that are not the table's own.

Metadata says where data is, and engines read what it says. So every location that a commit
brings along lies in the table's own folder; else a table could be made to show another's rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lakehold.catalog.relation import Json
from lakehold.errors import InvalidDefinition
from lakehold.storage import ObjectStore, is_within, without_scheme

PATH_PROPERTIES = frozenset(
    {
        "write.data.path",
        "write.metadata.path",
        "write.object-storage.path",
        "write.folder-storage.path",
    }
)
"""Table properties that tell writers where to write (Iceberg: table configuration)."""


def check_updates(store: ObjectStore, location: str, updates: Iterable[Json]) -> None:
    """Refuse updates that bring locations outside of the table's folder.

    Raises:
        InvalidDefinition: naming the location.
    """
    for update in updates:
        action = update.get("action")
        if action == "set-location":
            given = without_scheme(str(update.get("location", ""))).rstrip("/")
            if given != without_scheme(location):
                raise InvalidDefinition(
                    "the location of a table cannot be changed",
                    hint="create another table there and copy the rows",
                )
        elif action == "set-properties":
            check_properties(store, location, update.get("updates") or {})
        elif action == "add-snapshot":
            snapshot = update.get("snapshot") or {}
            if "manifest-list" in snapshot:
                _check_own(store, location, snapshot["manifest-list"])
        elif action in ("set-statistics", "set-partition-statistics"):
            statistics = update.get("statistics") or update.get("partition-statistics") or {}
            if "statistics-path" in statistics:
                _check_own(store, location, statistics["statistics-path"])


def check_properties(store: ObjectStore, location: str, properties: Mapping[str, str]) -> None:
    """Refuse properties that send writers outside of the table's folder."""
    for name in PATH_PROPERTIES & properties.keys():
        _check_own(store, location, properties[name])


def check_metadata(store: ObjectStore, metadata: Json) -> None:
    """Refuse whole metadata, as it is registered, that reaches outside of its own folder."""
    location = store.check(str(metadata.get("location", ""))).rstrip("/")
    check_properties(store, location, metadata.get("properties") or {})
    for snapshot in metadata.get("snapshots") or ():
        if "manifest-list" in snapshot:
            _check_own(store, location, snapshot["manifest-list"])
    for name in ("statistics", "partition-statistics"):
        for item in metadata.get(name) or ():
            _check_own(store, location, item["statistics-path"])


def _check_own(store: ObjectStore, location: str, given: object) -> None:
    text = str(given)
    if not is_within(text, location):
        raise InvalidDefinition(f"{text!r} is outside of the table's location")
    store.check(text)
