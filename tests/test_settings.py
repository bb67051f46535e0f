"""Settings: which source wins, and that what is wrong is said by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lakehold.errors import ConfigurationInvalid
from lakehold.settings import FILE, Settings, client_environment, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LAKEHOLD_"):
            monkeypatch.delenv(name)


def write(folder: Path, text: str) -> Path:
    (folder / FILE).write_text(text)
    return folder


def test_flags_win_over_environment_over_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "http_port = 1001\nwriters = 2\nstatements = 3\n")
    monkeypatch.setenv("LAKEHOLD_HTTP_PORT", "1002")
    monkeypatch.setenv("LAKEHOLD_WRITERS", "4")
    found = load_settings(tmp_path, http_port=1003)
    assert (found.http_port, found.writers, found.statements) == (1003, 4, 3)
    assert found.threads == Settings().threads


def test_a_flag_that_is_not_given_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, "http_port = 1001\n")
    assert load_settings(tmp_path, http_port=None).http_port == 1001


def test_the_folder_comes_from_the_environment_unless_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOLD_DIR", str(tmp_path / "named"))
    assert load_settings().dir == tmp_path / "named"
    assert load_settings(tmp_path / "given").dir == tmp_path / "given"


def test_the_folder_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("lake")).dir == tmp_path / "lake"
    assert load_settings(Path("lake")).warehouse_location == str(tmp_path / "lake" / "warehouse")


def test_an_unknown_key_in_the_file_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "http_prt = 1\n")
    with pytest.raises(ConfigurationInvalid, match="http_prt") as caught:
        load_settings(tmp_path)
    assert "http_port" in (caught.value.hint or "")
    assert FILE in caught.value.message


def test_an_unknown_name_in_the_environment_is_an_error_with_the_nearest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOLD_HTTP_PROT", "1")
    with pytest.raises(ConfigurationInvalid, match="LAKEHOLD_HTTP_PROT") as caught:
        load_settings(tmp_path)
    assert "LAKEHOLD_HTTP_PORT" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["URL", "TOKEN", "CONFIG", "DEBUG", "DIR"])
def test_what_the_environment_tells_clients_is_no_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"LAKEHOLD_{name}", "x")
    load_settings(tmp_path)


def test_the_file_cannot_name_another_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="no setting dir"):
        load_settings(write(tmp_path, 'dir = "/elsewhere"\n'))


@pytest.mark.parametrize("text", ["http_port = ", "[broken", "\x00"])
def test_a_corrupt_file_is_a_clear_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="TOML"):
        load_settings(write(tmp_path, text))


def test_a_file_that_is_no_text_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('http_port = "x"', "http_port"),
        ("http_port = 70000", "http_port"),
        ("http_port = true", "http_port"),
        ("writers = 0", "writers"),
        ("threads = -1", "threads"),
        ("postgres_connections = 1", "postgres_connections"),
        ("statement_time_s = 0", "statement_time_s"),
        ("statement_time_s = nan", "statement_time_s"),
        ("statement_time_s = inf", "statement_time_s"),
        ('memory = "much"', "memory"),
        ('memory = "8GB; SELECT 1"', "memory"),
        ('spill = "-1GB"', "spill"),
        ('log_level = "loud"', "log_level"),
        ('warehouse = "relative"', "warehouse"),
        ('warehouse = "ftp://x"', "warehouse"),
        ('tls_certificate = "/c.pem"', "tls_private_key"),
        ("[http]\nport = 1", "http"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=named):
        load_settings(write(tmp_path, text))


@pytest.mark.parametrize("size", ["8GB", "512MiB", "1.5 TB", "100000B"])
def test_sizes_have_a_unit(tmp_path: Path, size: str) -> None:
    assert load_settings(write(tmp_path, f'memory = "{size}"')).memory == size


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "lake.example"])
def test_beyond_this_machine_there_is_no_listening_without_tls(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="without TLS"):
        load_settings(tmp_path, http_host=host)
    assert load_settings(tmp_path, http_host=host, insecure=True).http_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_on_this_machine_there_may_be_no_tls(tmp_path: Path, host: str) -> None:
    assert load_settings(tmp_path, http_host=host).http_host == host


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False), ("YES", True)])
def test_the_environment_knows_yes_and_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("LAKEHOLD_INSECURE", text)
    assert load_settings(tmp_path).insecure is value


def test_a_word_that_is_neither_yes_nor_no_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOLD_INSECURE", "perhaps")
    with pytest.raises(ConfigurationInvalid, match="insecure"):
        load_settings(tmp_path)


def test_secrets_are_not_shown() -> None:
    secret: dict[str, Any] = {
        "postgres_dsn": "postgresql://u:hunter2@h/d",
        "s3_key_id": "hunter2",
        "s3_secret": "hunter2",
        "s3_session_token": "hunter2",
    }
    assert "hunter2" not in repr(Settings(**secret))


def test_a_secret_of_the_wrong_type_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="s3_secret") as caught:
        load_settings(write(tmp_path, "s3_secret = 4711\n"))
    assert "4711" not in caught.value.message


def test_the_clients_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOLD_TOKEN", "hunter2")
    assert "hunter2" not in repr(client_environment())
