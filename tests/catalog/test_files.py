"""Metadata files: written once, parsed once, remembered within bounds."""

from __future__ import annotations

import gzip
import re

import pytest

from lakehold.catalog.files import MetadataFiles, version_of
from lakehold.errors import InvalidDefinition, ObjectMissing
from lakehold.storage import ObjectStore


def test_a_metadata_file_is_named_as_iceberg_names_it(store: ObjectStore) -> None:
    files = MetadataFiles(store)
    location = files.write(f"{store.root}/t", 7, {"format-version": 2})
    assert re.fullmatch(
        re.escape(store.root) + r"/t/metadata/00007-[0-9a-f-]{36}\.metadata\.json", location
    )
    assert MetadataFiles(store).read(location) == {"format-version": 2}


@pytest.mark.parametrize(
    ("location", "version"),
    [
        ("/t/metadata/00012-a-b.metadata.json", 12),
        ("/t/metadata/v3.metadata.json", 3),
        ("/t/metadata/v3.gz.metadata.json", 3),
        ("/t/metadata/other.json", 0),
    ],
)
def test_the_next_version_follows_the_name(location: str, version: int) -> None:
    assert version_of(location) == version


def test_metadata_is_parsed_once(store: ObjectStore) -> None:
    files = MetadataFiles(store)
    location = files.write(f"{store.root}/t", 0, {"format-version": 2})
    assert files.read(location) is files.read(location)


def test_the_cache_is_bounded_by_bytes(store: ObjectStore) -> None:
    files = MetadataFiles(store, cache_bytes=1000)
    for number in range(20):
        files.write(f"{store.root}/t", number, {"format-version": 2, "x": "y" * 200})
        assert files.cached_bytes <= 1000
    big = files.write(f"{store.root}/t", 99, {"format-version": 2, "x": "y" * 5000})
    assert files.read(big)["x"] == "y" * 5000


def test_packed_metadata_is_read(store: ObjectStore) -> None:
    location = f"{store.root}/t/metadata/v1.gz.metadata.json"
    store.write(location, gzip.compress(b'{"format-version": 2}'))
    assert MetadataFiles(store).read(location) == {"format-version": 2}


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"1", b'{"a": 1}', b"\x1f\x8b\x08", gzip.compress(b"{")[:-4]]
)
def test_what_is_no_metadata_is_refused(store: ObjectStore, data: bytes) -> None:
    location = f"{store.root}/t/metadata/x.metadata.json"
    store.write(location, data)
    with pytest.raises(InvalidDefinition):
        MetadataFiles(store).read(location)


def test_packed_metadata_without_end_is_refused(store: ObjectStore) -> None:
    location = f"{store.root}/t/metadata/v1.gz.metadata.json"
    store.write(location, gzip.compress(b" " * (300 * 1024 * 1024), compresslevel=1))
    with pytest.raises(InvalidDefinition, match="too large"):
        MetadataFiles(store).read(location)


def test_missing_metadata_has_an_error_of_its_own(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        MetadataFiles(store).read(f"{store.root}/t/metadata/none.metadata.json")
