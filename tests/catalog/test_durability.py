"""Invariant 4, as far as a commit goes: what it refers to survives the loss of power."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from lakehold.catalog import Catalog
from lakehold.errors import InvalidDefinition
from lakehold.storage import LocalStore, ObjectStore
from tests.catalog.lake import append, create, name, opened, rows


def test_invariant_4_every_file_of_a_commit_is_synced_before_it(
    catalog: Catalog, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 5)
    before = {item.location for item in store.list(store.root)}
    synced: list[str] = []
    real = LocalStore.sync

    def sync(self: LocalStore, locations: Collection[str]) -> None:
        synced.extend(locations)
        real(self, locations)

    monkeypatch.setattr(LocalStore, "sync", sync)
    append(catalog, table.id, 5)
    written = {item.location for item in store.list(store.root)} - before
    by_engine = {location for location in written if not location.endswith(".metadata.json")}
    assert len(by_engine) == 3, "a data file, a manifest and a manifest list"
    assert set(synced) == by_engine


@pytest.mark.parametrize("gone", [".parquet", "-m0.avro", "snap-"])
def test_a_snapshot_without_its_files_is_refused(
    catalog: Catalog, store: ObjectStore, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    table = create(catalog, "t")
    transaction = catalog.begin()
    update = transaction.update_table

    def lose_a_file(*arguments: object) -> object:
        victim = next(i.location for i in store.list(store.root) if gone in i.location)
        store.delete(victim)
        return update(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(transaction, "update_table", lose_a_file)
    with pytest.raises(InvalidDefinition, match="not there"):
        opened(transaction, table.id).append(rows(3))
    assert transaction.load(name("t"))[1] == table.metadata_location
