"""The embedded server: private, adopted, restarted, and nobody else's taken for it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from lakehold.errors import ConfigurationInvalid, StateUnavailable
from lakehold.state import Database, EmbeddedPostgres
from lakehold.state import embedded as embedded_module

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="PostgreSQL runs as ourselves")


@pytest.fixture
def server(server_folder: Path) -> Iterator[EmbeddedPostgres]:
    started = EmbeddedPostgres(server_folder / "postgres")
    started.start()
    yield started
    started.stop()


def one(server: EmbeddedPostgres, question: str) -> object:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        row = connection.execute(question).fetchone()
    assert row is not None
    return row[0]


def until(condition: object, limit_s: float = 20.0) -> None:
    assert callable(condition)
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def test_its_settings_keep_what_was_committed(server: EmbeddedPostgres) -> None:
    for setting, value in (
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ):
        assert one(server, f"SHOW {setting}") == value
    assert one(server, "SELECT datlocprovider FROM pg_database WHERE datname = 'lakehold'") == "b"


def test_it_is_reached_by_nothing_but_its_socket(server: EmbeddedPostgres) -> None:
    assert one(server, "SHOW listen_addresses") == ""
    pid = server.pid
    assert pid is not None
    assert not [
        c for c in psutil.Process(pid).net_connections() if c.status == "LISTEN" and c.laddr
    ]


def test_its_folders_are_private(server: EmbeddedPostgres) -> None:
    for folder in (server.folder, server.data, server.sockets):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o007 == 0, folder
        assert not os.access(folder, os.R_OK) or folder.stat().st_mode & 0o077 in (0, 0o010)


@needs_root
def test_no_other_user_of_the_machine_gets_in(server: EmbeddedPostgres) -> None:
    # Reachable on purpose: what stands in the way must be the server, not the folder.
    for place in (server.sockets, *server.sockets.parents):
        if place != Path(place.anchor) and not place.stat().st_mode & stat.S_IXOTH:
            place.chmod(0o755)
    (server.sockets / ".s.PGSQL.5432").chmod(0o777)
    program = f"""
import os, psycopg
psycopg.connect({server.conninfo!r}).close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print("now as another", flush=True)
psycopg.connect({server.conninfo!r})
"""
    tried = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "now as another" in tried.stdout
    assert tried.returncode != 0
    assert "Peer authentication failed" in tried.stderr


@needs_root
def test_roots_server_runs_as_an_account_without_rights(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    uids = psutil.Process(server.pid).uids()
    assert 0 not in (uids.real, uids.effective, uids.saved)


@needs_root
def test_roots_server_runs_as_the_owner_of_its_data(server_folder: Path) -> None:
    import pwd

    first = EmbeddedPostgres(server_folder / "postgres")
    first.start()
    first.stop()
    nobody = pwd.getpwnam("nobody")
    for path in (first.folder, *first.folder.rglob("*")):
        os.lchown(path, nobody.pw_uid, nobody.pw_gid)
    second = EmbeddedPostgres(server_folder / "postgres")
    second.start()
    try:
        assert second.pid is not None
        assert psutil.Process(second.pid).uids().real == nobody.pw_uid
        assert one(second, "SELECT 1") == 1
    finally:
        second.stop()


def test_a_server_that_a_killed_platform_left_is_adopted(server: EmbeddedPostgres) -> None:
    pid = server.pid
    next_platform = EmbeddedPostgres(server.folder)
    next_platform.start()
    assert next_platform.pid == pid
    next_platform.stop()
    assert server.pid is None


def test_what_was_committed_survives_the_kill_of_the_server(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.pid is None)
    EmbeddedPostgres(server.folder).start()
    assert one(server, "SELECT n FROM kept") == 7


def test_a_server_that_dies_while_watched_is_started_again(server: EmbeddedPostgres) -> None:
    database = Database(server.conninfo, wait_s=5)
    first = server.pid
    assert first is not None
    try:
        with server.watched():
            os.kill(first, signal.SIGKILL)
            until(lambda: server.pid not in (None, first))

            def answers() -> bool:
                try:
                    return database.check() > 0
                except StateUnavailable:
                    return False

            until(answers)
    finally:
        database.close()


def test_children_of_a_killed_server_are_gone_before_the_next_starts(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child that writes beside a second server would destroy the data."""
    monkeypatch.setattr(embedded_module.process, "LEFTOVERS_TIMEOUT_S", 0.5)
    connection = psycopg.connect(server.conninfo, autocommit=True)
    child = psutil.Process(connection.info.backend_pid)
    assert server.pid is not None
    child.suspend()  # it does not notice that its server is gone
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: server.pid is None)
    EmbeddedPostgres(server.folder).start()
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert one(server, "SELECT 1") == 1
    connection.close()


def test_a_number_that_was_given_to_another_process_is_not_taken_for_the_server(
    server: EmbeddedPostgres,
) -> None:
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as other:
        (server.data / "postmaster.pid").write_text(f"{other.pid}\n{server.data}\n1\n5432\n/x\n\n")
        assert server.pid is None
        server.stop()
        assert other.poll() is None
        server.start()
        assert one(server, "SELECT 1") == 1
        assert other.poll() is None
        other.terminate()


def test_another_postgres_is_not_taken_for_the_server(
    server: EmbeddedPostgres, postgres: EmbeddedPostgres
) -> None:
    server.stop()
    number = postgres.pid
    (server.data / "postmaster.pid").write_text(f"{number}\n{server.data}\n1\n5432\n/x\n\n")
    assert server.pid is None
    server.start()
    assert server.pid not in (None, number)
    assert postgres.pid == number


def test_a_path_too_long_for_a_socket_has_it_in_a_short_private_folder(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder / ("long" * 30) / "postgres")
    assert len(str(server.sockets / ".s.PGSQL.5432")) <= embedded_module.SOCKET_PATH_MAX
    server.start()
    try:
        assert one(server, "SELECT 1") == 1
        assert stat.S_IMODE(server.sockets.stat().st_mode) == 0o700
    finally:
        folder = server.sockets
        server.stop()
    folder.rmdir()


def test_a_link_in_place_of_the_short_folder_is_refused(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder / ("long" * 30) / "postgres")
    target = server_folder / "target"
    target.mkdir(mode=0o755)
    server.sockets.symlink_to(target)
    try:
        with pytest.raises(ConfigurationInvalid, match="belongs to another user"):
            server.start()
        assert stat.S_IMODE(target.stat().st_mode) == 0o755
        assert target.stat().st_uid == os.getuid()
    finally:
        server.sockets.unlink()


@needs_root
def test_a_folder_of_another_user_is_refused(server_folder: Path) -> None:
    folder = server_folder / "postgres"
    folder.mkdir()
    os.chown(folder, 12345, 12345)
    with pytest.raises(ConfigurationInvalid, match="belongs to another user"):
        EmbeddedPostgres(folder).start()
    assert folder.stat().st_uid == 12345


def test_half_of_a_data_folder_is_made_anew(server_folder: Path) -> None:
    server = EmbeddedPostgres(server_folder / "postgres")
    (server.folder / "data.new").mkdir(parents=True)
    (server.folder / "data.new" / "half").touch()
    server.folder.chmod(0o700)
    server.start()
    try:
        assert one(server, "SELECT 1") == 1
    finally:
        server.stop()


def test_a_server_that_cannot_start_says_why(server: EmbeddedPostgres) -> None:
    server.stop()
    with (server.data / "postgresql.auto.conf").open("a") as settings:
        settings.write("shared_buffers = nonsense\n")
    with pytest.raises(StateUnavailable) as caught:
        server.start()
    assert "shared_buffers" in (caught.value.hint or "")


def test_stopping_twice_is_as_stopping_once(server: EmbeddedPostgres) -> None:
    server.stop()
    server.stop()
    assert server.pid is None


def test_statements_are_not_in_its_log(server: EmbeddedPostgres) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT 'very secret' FROM nowhere")
    assert "very secret" not in server.log.read_text()
