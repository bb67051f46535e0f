"""The platform's secret: made once, ours alone, never overwritten."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lakehold.errors import ConfigurationInvalid
from lakehold.keys import SIZE, PlatformKeys

NAME = "platform.key"


def test_it_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    first = PlatformKeys.open(folder).key("ledger")
    assert PlatformKeys.open(folder).key("ledger") == first
    assert stat.S_IMODE((folder / NAME).stat().st_mode) == 0o600
    assert [path.name for path in folder.iterdir()] == [NAME]


def test_each_use_has_a_key_of_its_own(tmp_path: Path) -> None:
    keys = PlatformKeys.open(tmp_path)
    assert len({keys.key("ledger"), keys.key("access"), (tmp_path / NAME).read_bytes()}) == 3
    assert len(keys.key("ledger")) == SIZE


def test_two_folders_have_two_secrets(tmp_path: Path) -> None:
    one, other = PlatformKeys.open(tmp_path / "a"), PlatformKeys.open(tmp_path / "b")
    assert one.key("ledger") != other.key("ledger")


def test_platforms_that_start_at_once_agree_on_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: PlatformKeys.open(tmp_path).key("x"), range(32)))
    assert len(found) == 1


def test_what_a_killed_start_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / f".{NAME}.{os.getpid()}").write_bytes(b"half")
    PlatformKeys.open(tmp_path)


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_one_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationInvalid, match="damaged"):
        PlatformKeys.open(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_one_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    PlatformKeys.open(tmp_path)
    (tmp_path / NAME).chmod(mode)
    with pytest.raises(ConfigurationInvalid, match="read by others") as caught:
        PlatformKeys.open(tmp_path)
    assert "chmod 600" in (caught.value.hint or "")


def test_a_place_that_cannot_hold_it_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationInvalid, match="cannot be used"):
        PlatformKeys.open(tmp_path / "file" / "keys")
    (tmp_path / NAME).mkdir(mode=0o700)
    with pytest.raises(ConfigurationInvalid, match="cannot be used"):
        PlatformKeys.open(tmp_path)


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    keys = PlatformKeys.open(tmp_path)
    assert repr((tmp_path / NAME).read_bytes()) not in repr(keys)
