"""What is particular to a folder on this machine."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lakehold.errors import InvalidDefinition, ObjectExists, StorageFailed
from lakehold.storage import LocalStore


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "warehouse"))


def test_a_link_that_leaves_the_warehouse_is_refused(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    os.symlink(tmp_path, Path(store.root) / "way_out")
    os.symlink(tmp_path / "secret", Path(store.root) / "file_out")
    for location in (f"{store.root}/way_out/secret", f"{store.root}/file_out"):
        with pytest.raises(InvalidDefinition):
            store.read(location)
        with pytest.raises(InvalidDefinition):
            store.write(location, b"", overwrite=True)
    with pytest.raises(InvalidDefinition):
        store.delete_under(f"{store.root}/way_out")
    assert (tmp_path / "secret").read_text() == "secret"
    assert list(store.list(store.root)) == []


def test_a_warehouse_behind_a_link_is_a_warehouse(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")
    store = LocalStore(str(tmp_path / "link"))
    store.write(f"{tmp_path}/link/a", b"1")
    assert (tmp_path / "real" / "a").read_bytes() == b"1"


@pytest.mark.parametrize("step", ["write", "fsync", "link"])
def test_a_write_that_fails_leaves_nothing(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":
        monkeypatch.setattr("builtins.open", fail)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageFailed, match="full") as caught:
        store.write(f"{store.root}/t/a", b"1")
    monkeypatch.undo()
    assert "free space" in (caught.value.hint or "")
    assert list(store.list(store.root)) == []


def test_a_file_and_its_name_are_synced_before_a_write_returns(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    store.write(f"{store.root}/s/t/a", b"1")
    assert synced[:2] == [store.root, f"{store.root}/s"]
    assert synced[-1] == f"{store.root}/s/t"
    assert ".lakehold-partial-" in synced[-2]


def test_a_disk_without_hard_links_will_do(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    store.write(f"{store.root}/a", b"1")
    assert store.read(f"{store.root}/a") == b"1"
    with pytest.raises(ObjectExists):
        store.write(f"{store.root}/a", b"2")
    assert [item.location for item in store.list(store.root)] == [f"{store.root}/a"]


def test_a_read_only_warehouse_is_a_clear_error(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mkdir(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "mkdir", mkdir)
    with pytest.raises(StorageFailed, match="Read-only") as caught:
        store.write(f"{store.root}/t/a", b"1")
    assert "writable" in (caught.value.hint or "")
