"""``lakehold doctor`` finds each kind of trouble and names the remedy."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from platform_process import PlatformProcess, run_command


def doctor(folder, **environment):
    return run_command("doctor", "--dir", str(folder), **environment)


@pytest.fixture(scope="module")
def stopped(server_folders):
    """A folder whose platform ran and was stopped."""
    folder = server_folders / "diagnosed"
    platform = PlatformProcess(folder).start()
    assert platform.stop() == 0
    return folder


def test_a_platform_that_runs_is_well(make_platform):
    platform = make_platform().start()
    found = doctor(platform.folder)
    assert found.returncode == 0, found.stdout
    for part in ("python", "wheels", "extensions", "folder", "disk", "key", "platform", "http",
                 "postgres", "migrations", "clock", "warehouse"):  # fmt: skip
        assert f"✓ {part}" in found.stdout, found.stdout
    assert "all is well" in found.stdout


def test_a_platform_that_was_stopped_is_well(stopped):
    found = doctor(stopped, LAKEHOLD_HTTP_PORT="0")
    assert found.returncode == 0, found.stdout + found.stderr
    assert "not running" in found.stdout


def test_a_folder_that_is_not_there_is_told(server_folder):
    found = doctor(server_folder / "nowhere", LAKEHOLD_HTTP_PORT="0")
    assert found.returncode == 1
    assert "is not there" in found.stdout and "lakehold up makes it" in found.stdout
    assert "Traceback" not in found.stderr
    assert not (server_folder / "nowhere").exists(), "doctor changes nothing"


def test_a_key_that_others_can_read_or_that_is_damaged_is_told(stopped):
    key = stopped / "keys" / "platform.key"
    whole = key.read_bytes()
    key.chmod(0o644)
    try:
        found = doctor(stopped, LAKEHOLD_HTTP_PORT="0")
        assert found.returncode == 1
        assert f"chmod 600 {key}" in found.stdout
        key.chmod(0o600)
        key.write_bytes(whole[:10])
        found = doctor(stopped, LAKEHOLD_HTTP_PORT="0")
        assert found.returncode == 1
        assert "damaged" in found.stdout and "backup" in found.stdout
        refused = run_command("up", "--port", "0", "--dir", str(stopped))
        assert refused.returncode == 1
        assert "damaged" in refused.stderr and "Traceback" not in refused.stderr
        assert key.read_bytes() == whole[:10], "it is never overwritten"
    finally:
        key.chmod(0o600)
        key.write_bytes(whole)
    assert doctor(stopped, LAKEHOLD_HTTP_PORT="0").returncode == 0


def test_a_folder_open_to_others_is_told(stopped):
    before = stopped.stat().st_mode
    stopped.chmod(0o755)
    try:
        found = doctor(stopped, LAKEHOLD_HTTP_PORT="0")
        assert found.returncode == 1
        assert f"chmod 700 {stopped}" in found.stdout
    finally:
        stopped.chmod(before & 0o777)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("http_port = ", "not valid TOML"),
        ("htp_port = 1", "did you mean http_port"),
        ("http_port = 'x'", "http_port should be int"),
        ("http_host = '0.0.0.0'", "without TLS"),
        ("\udcff", "cannot be read"),
    ],
)
def test_settings_that_cannot_be_used_are_told_by_every_command(server_folder, text, told):
    folder = server_folder / "lake"
    folder.mkdir()
    (folder / "lakehold.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in ("doctor", "up", "status", "down", "migrate"):
        found = run_command(command, "--dir", str(folder))
        assert found.returncode == 1, command
        assert told in found.stdout + found.stderr, command
        assert "Traceback" not in found.stderr


def test_a_postgresql_that_cannot_be_reached_is_told_soon_and_without_its_password(server_folder):
    secret = "hunter2secret"
    for dsn in (
        f"postgresql://lake:{secret}@127.0.0.1:1/lake",
        f"host=/nowhere user=lake password={secret} dbname=x",
        f"postgresql://lake:{secret}@@@:x/y",
        f"nonsense {secret}",
        f"postgresql://lake:{secret}@no-such-host.invalid/lake",
    ):
        for command in ("up", "doctor", "migrate"):
            began = time.monotonic()
            folder = server_folder / "lake"
            found = run_command(command, "--dir", str(folder), LAKEHOLD_POSTGRES_DSN=dsn)
            assert found.returncode == 1, (command, dsn, found.stdout)
            assert "PostgreSQL" in found.stdout + found.stderr, (command, dsn)
            assert time.monotonic() - began < 10, (command, dsn)
            assert "Traceback" not in found.stderr
            assert secret not in found.stdout + found.stderr
    for path in (server_folder / "lake").glob("**/*"):
        assert not path.is_file() or secret not in path.read_text(errors="replace"), path


def test_a_wrong_password_is_refused_and_never_shown(postgres, server_folder):
    secret = "hunter2secret"
    dsn = f"host={postgres.sockets} user=nobody_here password={secret} dbname=lakehold"
    found = run_command("up", "--dir", str(server_folder / "lake"), LAKEHOLD_POSTGRES_DSN=dsn)
    assert found.returncode == 1
    assert "PostgreSQL does not let the user in" in found.stderr, found.stderr
    assert secret not in found.stderr


def test_a_postgresql_that_hangs_is_told_as_the_reason(make_platform):
    platform = make_platform().start()
    platform.postgres.suspend()
    try:
        began = time.monotonic()
        found = doctor(platform.folder)
        assert found.returncode == 1
        assert "✗" in found.stdout
        assert time.monotonic() - began < 45
        assert "Traceback" not in found.stderr
    finally:
        platform.postgres.resume()


@pytest.mark.skipif(os.getuid() != 0, reason="changes the owner of a folder")
def test_a_folder_of_another_user_is_refused(server_folder):
    folder = server_folder / "lake"
    folder.mkdir(mode=0o700)
    shutil.chown(folder, "nobody")
    found = doctor(folder)
    assert found.returncode == 1
    assert "another user" in found.stdout
