"""Metadata of a table leads to the table's own files only."""

from __future__ import annotations

from typing import Any

import pytest

from lakehold.catalog import Catalog
from lakehold.errors import InvalidDefinition
from lakehold.storage import ObjectStore
from tests.catalog.lake import NUMBERS, create, name

OUTSIDE = ["{root}/elsewhere/x", "{folder}/../x", "{folder}2/x", "/etc/passwd", "s3://b/x"]


@pytest.mark.parametrize("where", OUTSIDE)
@pytest.mark.parametrize(
    "update",
    [
        {"action": "set-location", "location": "{where}"},
        {"action": "set-properties", "updates": {"write.data.path": "{where}"}},
        {"action": "set-properties", "updates": {"write.metadata.path": "{where}"}},
        {"action": "set-properties", "updates": {"write.object-storage.path": "{where}"}},
        {"action": "add-snapshot", "snapshot": {"snapshot-id": 1, "manifest-list": "{where}"}},
        {"action": "set-statistics", "statistics": {"statistics-path": "{where}"}},
        {
            "action": "set-partition-statistics",
            "partition-statistics": {"statistics-path": "{where}"},
        },
    ],
)
def test_a_commit_cannot_point_outside_of_its_table(
    catalog: Catalog, store: ObjectStore, update: dict[str, Any], where: str
) -> None:
    table = create(catalog, "t")
    folder = catalog.metadata(table.metadata_location)["location"]
    where = where.format(root=store.root, folder=folder)
    with pytest.raises(InvalidDefinition):
        catalog.begin().update_table(table.id, [], [_filled(update, where)])


def _filled(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, where) for key, inner in value.items()}
    return where if value == "{where}" else value


@pytest.mark.parametrize("where", ["/etc", "{root}/../x", "{root}", "{root}/", "s3://b/t", "t"])
def test_a_table_cannot_be_made_outside_of_the_warehouse(
    catalog: Catalog, store: ObjectStore, where: str
) -> None:
    with pytest.raises(InvalidDefinition):
        catalog.begin().create_table(name("t"), NUMBERS, location=where.format(root=store.root))


def test_a_table_can_be_made_at_a_place_in_the_warehouse(
    catalog: Catalog, store: ObjectStore
) -> None:
    table = create(catalog, "t", location=f"{store.root}/my/place/")
    assert table.metadata_location.startswith(f"{store.root}/my/place/metadata/00000-")


def test_metadata_that_leads_elsewhere_cannot_be_registered(
    catalog: Catalog, store: ObjectStore
) -> None:
    import msgspec

    table = create(catalog, "t")
    metadata = dict(catalog.metadata(table.metadata_location))
    victim = metadata["location"]
    metadata["location"] = f"{store.root}/mine"
    metadata["snapshots"] = [{"snapshot-id": 1, "manifest-list": f"{victim}/metadata/l.avro"}]
    store.write(f"{store.root}/mine/metadata/a.metadata.json", msgspec.json.encode(metadata))
    with pytest.raises(InvalidDefinition):
        catalog.begin().register_table(name("mine"), f"{store.root}/mine/metadata/a.metadata.json")
    with pytest.raises(InvalidDefinition):
        catalog.begin().register_table(name("mine"), "/etc/passwd")
