"""Profiles: tokens that nobody else can read."""

from __future__ import annotations

import pytest

from lakehold.cli.profiles import Profile, Profiles, resolve
from lakehold.cli.token import seconds
from lakehold.client import InterfaceError


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    for name in ("LAKEHOLD_URL", "LAKEHOLD_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAKEHOLD_CONFIG", str(tmp_path / "config"))
    return tmp_path


def test_the_file_is_for_its_owner_alone(tmp_path):
    profiles = Profiles(tmp_path / "config")
    profiles.put("default", Profile("http://a", "lh_1_x", "admin"))
    path = tmp_path / "config" / "profiles.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert profiles.get("default") == Profile("http://a", "lh_1_x", "admin")
    path.chmod(0o644)
    with pytest.raises(InterfaceError, match="read by others"):
        profiles.get("default")


def test_a_token_is_not_shown_with_its_profile():
    assert "secret" not in repr(Profile("http://a", "secret"))


def test_a_token_is_never_sent_to_a_server_that_it_is_not_for(tmp_path):
    Profiles(tmp_path / "config").put("default", Profile("http://a", "lh_1_x"))
    assert resolve("http://b", None, None).token is None
    assert resolve("http://a/", None, None).token == "lh_1_x"
    assert resolve(None, None, None).url == "http://a"


def test_the_token_file_wins_over_the_environment_over_the_profile(tmp_path, monkeypatch):
    Profiles(tmp_path / "config").put("default", Profile("http://a", "profile"))
    monkeypatch.setenv("LAKEHOLD_TOKEN", "environment")
    (tmp_path / "token").write_text("file\n")
    assert resolve(None, tmp_path / "token", None).token == "file"
    assert resolve(None, None, None).token == "environment"


def test_a_missing_profile_is_an_error():
    with pytest.raises(InterfaceError, match="no profile"):
        resolve(None, None, "nope")


@pytest.mark.parametrize(("text", "expected"), [("90d", 7_776_000), ("30m", 1800), ("never", None)])
def test_durations(text, expected):
    assert seconds(text) == expected


def test_a_duration_that_is_none_is_refused():
    with pytest.raises(InterfaceError):
        seconds("soon")
