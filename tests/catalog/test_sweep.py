"""Orphans go, and nothing that is referred to."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from lakehold.catalog import Catalog
from lakehold.catalog.sweep import references
from lakehold.clock import system_clock
from lakehold.errors import StorageFailed
from lakehold.state import Database
from lakehold.storage import ObjectStore, S3Store, open_store
from tests import seaweedfs
from tests.catalog.lake import NUMBERS, append, create, find, name, opened, rows

LONG_AGO = timedelta(days=10)
OLD_ENOUGH = timedelta(days=3)


def locations(store: ObjectStore) -> set[str]:
    return {item.location for item in store.list(store.root)}


def age(store: ObjectStore) -> None:
    """Make every file look as if it had been written long ago."""
    then = (system_clock() - LONG_AGO).timestamp()
    for location in locations(store):
        os.utime(location, (then, then))


def test_nothing_that_is_referred_to_is_swept(catalog: Catalog, store: ObjectStore) -> None:
    table = create(catalog, "t")
    for number in range(3):
        append(catalog, table.id, 5, number * 5)
    transaction = catalog.begin()
    opened(transaction, table.id).delete("x < 5")
    transaction.commit()
    transaction = catalog.begin()
    opened(transaction, table.id).overwrite(rows(2))
    transaction.create_view(name("v"), "SELECT 1 AS a", [("a", "INTEGER")], owner="ada")
    transaction.commit()
    age(store)
    before = locations(store)
    report = catalog.sweep(OLD_ENOUGH)
    assert (report.files, report.skipped) == (0, ())
    assert locations(store) == before


def test_the_files_of_a_commit_that_failed_are_swept(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 5)
    before = locations(store)
    failed = catalog.begin()
    opened(failed, table.id).append(rows(3))
    failed.rollback()
    left = locations(store) - before
    assert len(left) == 3, "a data file, a manifest and a manifest list"
    assert catalog.sweep(OLD_ENOUGH).files == 0, "they are too young"
    age(store)
    report = catalog.sweep(OLD_ENOUGH)
    assert (report.files, report.skipped) == (3, ())
    assert report.bytes > 0
    assert locations(store) == before
    transaction = catalog.begin()
    assert opened(transaction, table.id).scan().to_arrow().num_rows == 5
    transaction.rollback()


def test_a_crash_between_the_file_and_the_swap_is_swept(
    catalog: Catalog, store: ObjectStore
) -> None:
    """What a process leaves behind that dies: files, and no one who remembers them."""
    table = create(catalog, "t")
    folder = catalog.metadata(table.metadata_location)["location"]
    before = locations(store)
    store.write(f"{folder}/metadata/00001-dead.metadata.json", b"{}")
    store.write(f"{store.root}/main/dead-{'0' * 32}/metadata/00000-dead.metadata.json", b"{}")
    age(store)
    assert catalog.sweep(OLD_ENOUGH).files == 2
    assert locations(store) == before


def test_files_of_others_in_the_warehouse_are_left_alone(
    catalog: Catalog, store: ObjectStore
) -> None:
    for place in ("notes.txt", "mine/notes.txt", "main/by-hand/data/a.parquet"):
        store.write(f"{store.root}/{place}", b"1")
    age(store)
    assert catalog.sweep(OLD_ENOUGH).files == 0


def test_dropped_tables_are_kept_until_they_are_purged(
    catalog: Catalog, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 5)
    transaction = catalog.begin()
    transaction.drop(name("t"))
    transaction.commit()
    age(store)
    before = locations(store)
    assert catalog.sweep(OLD_ENOUGH).files == 0
    assert locations(store) == before


def test_a_purge_that_failed_is_done_by_the_sweep(
    catalog: Catalog, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 5)

    def fail(self: object, prefix: str) -> int:
        raise StorageFailed("the disk is gone")

    monkeypatch.setattr(type(store), "delete_under", fail)
    transaction = catalog.begin()
    transaction.drop(name("t"), purge=True)
    transaction.commit()
    assert locations(store)
    monkeypatch.undo()
    catalog.sweep()
    assert locations(store) == set()


def test_a_transaction_that_is_open_protects_what_it_writes(
    catalog: Catalog, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    writing = catalog.begin()
    opened(writing, table.id).append(rows(3))
    assert catalog.sweep(timedelta(0)).files == 0
    writing.commit()


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_a_table_that_cannot_be_read_is_left_alone(
    catalog: Catalog, database: Database, store: ObjectStore, damage: str
) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 5)
    found = find(catalog, database, "t")
    assert found is not None
    metadata = catalog.metadata(found.metadata_location)
    store.write(f"{metadata['location']}/data/orphan.parquet", b"1")
    victim = metadata["snapshots"][0]["manifest-list"]
    if damage == "cut":
        store.write(victim, store.read(victim)[:-20], overwrite=True)
    elif damage == "other":
        store.write(victim, b"something else", overwrite=True)
    else:
        data = next(i.location for i in store.list(store.root) if i.location.endswith("parquet"))
        store.delete(data if "orphan" not in data else victim)
    age(store)
    before = locations(store)
    report = catalog.sweep(OLD_ENOUGH)
    assert (report.files, report.skipped) == (0, (metadata["location"],))
    assert locations(store) == before


def test_references_name_every_file_of_a_table(
    catalog: Catalog, database: Database, store: ObjectStore
) -> None:
    table = create(catalog, "t")
    append(catalog, table.id, 5)
    append(catalog, table.id, 5)
    found = find(catalog, database, "t")
    assert found is not None
    named = {
        location
        for location, must_exist in references(catalog._resources, found.metadata_location)
        if must_exist
    }
    earlier = {
        entry["metadata-file"]
        for entry in catalog.metadata(found.metadata_location)["metadata-log"]
    }
    assert named | earlier == locations(store)


def test_a_catalog_on_s3_commits_and_sweeps(database: Database) -> None:
    credentials = seaweedfs.credentials()
    store = open_store(seaweedfs.new_warehouse(), s3=credentials)
    assert isinstance(store, S3Store)
    catalog = Catalog(database, store, clock=system_clock)
    assert credentials.endpoint is not None
    access = {
        "s3.endpoint": credentials.endpoint,
        "s3.access-key-id": credentials.access_key_id or "",
        "s3.secret-access-key": credentials.secret_access_key or "",
        "s3.region": credentials.region,
    }
    table = create(catalog, "t")
    for _ in range(2):
        transaction = catalog.begin()
        transaction.lock([table.id])
        opened(transaction, table.id, **access).append(rows(5))
        transaction.commit()
    before = locations(store)
    lost = catalog.begin()
    opened(lost, table.id, **access).append(rows(1))
    lost.rollback()
    assert len(locations(store) - before) == 3
    import time

    time.sleep(1.1)
    assert catalog.sweep(timedelta(seconds=0)).files == 3
    assert locations(store) == before
    transaction = catalog.begin()
    assert opened(transaction, table.id, **access).scan().to_arrow().num_rows == 10
    transaction.drop(name("t"), purge=True)
    transaction.commit()
    assert locations(store) == set()


def test_a_full_disk_is_a_clear_error_and_nothing_is_committed(
    catalog: Catalog, database: Database, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    table = create(catalog, "t")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    transaction = catalog.begin()
    with pytest.raises(StorageFailed, match="the store is full"):
        transaction.create_table(name("t2"), NUMBERS)
    with pytest.raises(StorageFailed, match="the store is full"):
        transaction.update_table(
            table.id, [], [{"action": "set-properties", "updates": {"a": "1"}}]
        )
    monkeypatch.undo()
    transaction.commit()
    found = find(catalog, database, "t")
    assert found is not None
    assert found.metadata_location == table.metadata_location
    assert find(catalog, database, "t2") is None
