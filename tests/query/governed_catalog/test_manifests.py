"""What the manifests of a commit may refer to, and when a commit is an append."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from lakehold.errors import InvalidDefinition
from lakehold.query.governed_catalog.manifests import Entry, Manifest, examine

HOME = "/w/s/mine"
FOREIGN = "/w/s/other/data/secret.parquet"


@dataclass
class Files:
    """Manifest lists and manifests in memory."""

    lists: dict[str, list[Manifest]] = field(default_factory=dict)
    contents: dict[str, list[Entry]] = field(default_factory=dict)

    def manifests(self, manifest_list: str) -> list[Manifest]:
        return self.lists[manifest_list]

    def entries(self, manifest: str) -> list[Entry]:
        return self.contents[manifest]


OLD = Manifest(f"{HOME}/metadata/old.avro", 0)
NEW = Manifest(f"{HOME}/metadata/new.avro", 0)
DELETES = Manifest(f"{HOME}/metadata/deletes.avro", 1)
PARENT, LIST = f"{HOME}/metadata/list-1.avro", f"{HOME}/metadata/list-2.avro"

METADATA: dict[str, Any] = {
    "snapshots": [{"snapshot-id": 1, "manifest-list": PARENT}],
    "refs": {"main": {"snapshot-id": 1, "type": "branch"}},
}


def files(listed: list[Manifest], *entries: Entry) -> Files:
    contents = {manifest.path: list(entries) for manifest in listed if manifest != OLD}
    return Files({PARENT: [OLD], LIST: listed}, contents)


def commit(parent: int | None = 1, manifest_list: object = LIST) -> list[dict[str, Any]]:
    snapshot = {"snapshot-id": 2, "manifest-list": manifest_list, "parent-snapshot-id": parent}
    return [
        {"action": "add-snapshot", "snapshot": snapshot},
        {"action": "set-snapshot-ref", "ref-name": "main", "snapshot-id": 2, "type": "branch"},
    ]


def own(status: int = 1, content: int = 0) -> Entry:
    return Entry(status, content, f"file://{HOME}/data/x.parquet")


def test_added_data_files_are_an_append() -> None:
    assert examine(files([OLD, NEW], own(), own()), METADATA, HOME, commit())


@pytest.mark.parametrize(
    ("listed", "entries"),
    [
        ([NEW], [own()]),
        ([OLD, DELETES], [own(content=1)]),
        ([OLD, NEW], [own(status=2)]),
        ([OLD, NEW], [own(), own(status=0)]),
        ([OLD, NEW], [own(content=2)]),
    ],
    ids=["drops a manifest", "deletes rows", "removes a file", "moves a file", "equality deletes"],
)
def test_anything_else_is_no_append(listed: list[Manifest], entries: list[Entry]) -> None:
    assert not examine(files(listed, *entries), METADATA, HOME, commit())


def test_a_snapshot_beside_the_present_one_is_no_append() -> None:
    assert not examine(files([NEW], own()), METADATA, HOME, commit(parent=None))


@pytest.mark.parametrize("status", [0, 1, 2])
@pytest.mark.parametrize(
    "path",
    [FOREIGN, f"{HOME}/../other/x", f"{HOME}2/x", "s3://other/x", "/etc/passwd", HOME[1:], ""],
)
def test_no_entry_leads_out_of_the_folder(status: int, path: str) -> None:
    """Whatever its status says: engines read existing files as well as added ones."""
    with pytest.raises(InvalidDefinition):
        examine(files([OLD, NEW], own(), Entry(status, 0, path)), METADATA, HOME, commit())


def test_no_manifest_leads_out_of_the_folder() -> None:
    foreign = Manifest("/w/s/other/metadata/m.avro", 0)
    with pytest.raises(InvalidDefinition):
        examine(files([OLD, foreign], own()), METADATA, HOME, commit())


@pytest.mark.parametrize("manifest_list", [None, "/w/s/other/metadata/list.avro", 1])
def test_a_snapshot_needs_a_manifest_list_of_its_own(manifest_list: object) -> None:
    with pytest.raises(InvalidDefinition):
        examine(files([OLD]), METADATA, HOME, commit(manifest_list=manifest_list))


def test_a_new_tables_files_are_examined_too() -> None:
    with pytest.raises(InvalidDefinition):
        examine(files([NEW], Entry(1, 0, FOREIGN)), None, HOME, commit(parent=None))


def test_a_commit_without_snapshots_refers_to_nothing() -> None:
    assert examine(Files(), METADATA, HOME, [{"action": "set-properties", "updates": {}}])
