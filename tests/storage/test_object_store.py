"""One suite for every object store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lakehold.errors import (
    ConfigurationInvalid,
    InvalidDefinition,
    ObjectExists,
    ObjectMissing,
)
from lakehold.storage import ObjectStore, is_within, open_store, without_scheme
from tests import seaweedfs


@pytest.fixture(params=["path", "file", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "s3":
        return open_store(seaweedfs.new_warehouse(), s3=seaweedfs.credentials())
    scheme = "file://" if request.param == "file" else ""
    return open_store(f"{scheme}{tmp_path}/warehouse")


def test_what_is_written_is_read(store: ObjectStore) -> None:
    location = f"{store.root}/schema/table/metadata/a.json"
    assert not store.exists(location)
    store.write(location, b"one")
    assert store.exists(location)
    assert store.read(location) == b"one"


def test_nothing_is_overwritten_unless_asked(store: ObjectStore) -> None:
    location = f"{store.root}/a"
    store.write(location, b"one")
    with pytest.raises(ObjectExists):
        store.write(location, b"two")
    assert store.read(location) == b"one"
    store.write(location, b"two", overwrite=True)
    assert store.read(location) == b"two"


def test_of_many_writers_of_one_object_one_wins(store: ObjectStore) -> None:
    location = f"{store.root}/contended"

    def write(number: int) -> bool:
        try:
            store.write(location, str(number).encode() * 1000)
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(write, range(8)))
    assert won.count(True) == 1
    assert store.read(location) == str(won.index(True)).encode() * 1000


def test_a_missing_object_has_an_error_of_its_own(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        store.read(f"{store.root}/none")
    store.delete(f"{store.root}/none")
    assert list(store.list(f"{store.root}/none")) == []


def test_a_listing_shows_every_depth_and_nothing_beside(store: ObjectStore) -> None:
    names = ["t/a", "t/b/c", "t/b/d/e", "t2/f"]
    for name in names:
        store.write(f"{store.root}/{name}", b"12345")
    found = list(store.list(f"{store.root}/t"))
    assert {item.location for item in found} == {f"{store.root}/{name}" for name in names[:3]}
    assert {item.size for item in found} == {5}
    now = datetime.now(UTC)
    assert all(abs(now - item.modified) < timedelta(minutes=1) for item in found)


def test_what_others_wrote_is_synced(store: ObjectStore) -> None:
    locations = [f"{store.root}/t/{name}" for name in ("a", "b/c")]
    for location in locations:
        store.write(location, b"1")
    store.sync(locations)
    if store.needs_sync:
        with pytest.raises(ObjectMissing):
            store.sync([*locations, f"{store.root}/t/none"])
    with pytest.raises(InvalidDefinition):
        store.sync(["/etc/passwd"])


def test_a_folder_is_deleted_with_all_that_is_in_it(store: ObjectStore) -> None:
    for name in ("t/a", "t/b/c", "t2/f"):
        store.write(f"{store.root}/{name}", b"1")
    assert store.delete_under(f"{store.root}/t") == 2
    assert [i.location for i in store.list(store.root)] == [f"{store.root}/t2/f"]
    assert store.delete_under(f"{store.root}/t") == 0


def test_the_whole_warehouse_is_never_deleted(store: ObjectStore) -> None:
    store.write(f"{store.root}/a", b"1")
    for location in (store.root, store.root + "/"):
        with pytest.raises(InvalidDefinition):
            store.delete_under(location)
    assert store.exists(f"{store.root}/a")


@pytest.mark.parametrize("name", ["a b", "percent%20", "plus+", "é", "x=1,y#?&"])
def test_names_are_taken_as_they_are(store: ObjectStore, name: str) -> None:
    location = f"{store.root}/{name}"
    store.write(location, name.encode())
    assert [item.location for item in store.list(store.root)] == [location]
    assert store.read(location) == name.encode()


@pytest.mark.parametrize(
    "outside",
    [
        "{root}/../other",
        "{root}/t/../../../etc/passwd",
        "{root}/./a",
        "{root}/a//b/../../..",
        "{root}2/a",
        "{root}\x00/a",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://host{path}/a",
        "s3://another-bucket/warehouse/a",
        "s3://{path}",
        "http://localhost/a",
        "relative/path",
        "",
        "~/a",
    ],
)
def test_a_location_outside_of_the_warehouse_is_refused(store: ObjectStore, outside: str) -> None:
    location = outside.format(root=store.root, path=without_scheme(store.root))
    for act in (store.read, store.exists, store.delete, store.check, store.delete_under):
        with pytest.raises(InvalidDefinition):
            act(location)
    with pytest.raises(InvalidDefinition):
        store.write(location, b"")
    with pytest.raises(InvalidDefinition):
        list(store.list(location))


@pytest.mark.parametrize("warehouse", ["", "relative", "http://x/y", "gs://b/p", "s3:///p"])
def test_a_warehouse_of_another_kind_is_refused(warehouse: str) -> None:
    with pytest.raises(ConfigurationInvalid):
        open_store(warehouse)


@pytest.mark.parametrize(
    ("location", "prefix", "within"),
    [
        ("/w/t/a", "/w/t", True),
        ("file:///w/t/a", "/w/t", True),
        ("file:/w/t/a", "file:///w/t/", True),
        ("/w/t2/a", "/w/t", False),
        ("s3a://b/t/a", "s3://b/t", True),
        ("s3://b2/t/a", "s3://b/t", False),
    ],
)
def test_locations_are_compared_without_their_scheme(
    location: str, prefix: str, within: bool
) -> None:
    assert is_within(location, prefix) is within
