"""Root's server reaches its folder, and nobody else is let through for it."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from lakehold.errors import ConfigurationInvalid
from lakehold.state import account as account_module
from lakehold.state.account import Account, make_reachable, server_account

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as ourselves")


def account(name: str) -> Account:
    entry = pwd.getpwnam(name)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def reaches(name: str, place: Path) -> bool:
    done = subprocess.run(
        ["test", "-e", str(place)],
        user=name,
        group="nogroup",
        extra_groups=[],
        cwd="/",
        check=False,
    )
    return done.returncode == 0


@pytest.fixture
def place(server_folder: Path) -> Path:
    found = server_folder / "closed" / "place"
    found.mkdir(parents=True)
    found.parent.chmod(0o700)
    return found


def test_only_the_account_is_let_through(place: Path) -> None:
    make_reachable([place], account("nobody"))
    assert reaches("nobody", place)
    assert not reaches("daemon", place)
    assert place.parent.stat().st_mode & 0o007 == 0


def test_the_account_cannot_list_what_it_walks_through(place: Path) -> None:
    make_reachable([place], account("nobody"))
    listed = subprocess.run(
        ["ls", str(place.parent)],
        user="nobody", group="nogroup", extra_groups=[], cwd="/", check=False, capture_output=True,
    )  # fmt: skip
    assert listed.returncode != 0


def test_the_groups_rights_stay_as_they_were(place: Path) -> None:
    place.parent.chmod(0o750)
    os.chown(place.parent, 0, pwd.getpwnam("daemon").pw_gid)
    make_reachable([place], account("nobody"))
    make_reachable([place], account("nobody"))
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o750
    assert reaches("nobody", place)


def test_where_there_are_no_lists_everybody_is_let_through(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "setxattr")
    make_reachable([place], account("nobody"))
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o701


def test_an_open_folder_is_left_alone(place: Path) -> None:
    place.parent.chmod(0o755)
    make_reachable([place], account("nobody"))
    assert account_module.ACL not in os.listxattr(place.parent)


def test_without_another_account_root_is_told(
    server_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account_module, "CANDIDATES", ("no_such_account",))
    with pytest.raises(ConfigurationInvalid, match="does not run as root"):
        server_account(server_folder / "data")
