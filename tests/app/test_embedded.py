"""``lakehold.open``: a platform within a script or a notebook."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

import lakehold
from lakehold.app import Platform
from lakehold.errors import PlatformInUse
from lakehold.settings import load_settings
from platform_process import clean_environment

SETTINGS = {"memory": "500MB"}


def processes_in(folder):
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def script(text, folder):
    return subprocess.run(
        [sys.executable, "-c", text, str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        env=clean_environment(LAKEHOLD_MEMORY="500MB"),
        check=False,
    )


def test_a_script_that_ends_without_closing_leaves_nothing_running_and_prints_nothing(
    server_folder,
):
    text = (
        "import sys, lakehold\n"
        "db = lakehold.open(sys.argv[1])\n"
        "db.execute('CREATE TABLE t AS SELECT 42 AS a')\n"
        "print(db.execute('SELECT a FROM t').fetchall())\n"
    )
    done = script(text, server_folder / "lake")
    assert (done.returncode, done.stdout, done.stderr) == (0, "[(42,)]\n", "")
    assert not processes_in(server_folder)
    again = script(text.replace("CREATE TABLE t AS SELECT 42 AS a", "SELECT 1"),
                   server_folder / "lake")  # fmt: skip
    assert (again.returncode, again.stdout, again.stderr) == (0, "[(42,)]\n", "")


def test_a_script_that_fails_leaves_nothing_running(server_folder):
    done = script(
        "import sys, lakehold\ndb = lakehold.open(sys.argv[1])\nraise SystemExit(7)",
        server_folder / "lake",
    )
    assert done.returncode == 7
    assert not processes_in(server_folder)


def test_a_notebook_opens_and_closes_again_and_again(server_folder):
    for number in range(3):
        db = lakehold.open(server_folder / "lake", **SETTINGS)
        if number == 0:
            db.execute("CREATE TABLE t (a INTEGER)")
        db.execute("INSERT INTO t VALUES (?)", [number])
        assert db.execute("SELECT count(*) FROM t").fetchall() == [(number + 1,)]
        db.close()
        db.close()
        assert not processes_in(server_folder)
    with lakehold.open(server_folder / "lake", **SETTINGS) as db:
        assert len(db.execute("SELECT * FROM t").fetchall()) == 3
    assert not processes_in(server_folder)


def test_a_folder_that_is_open_is_refused_to_a_second_naming_the_process(server_folder):
    import os

    with lakehold.open(server_folder / "lake", **SETTINGS) as db:
        with pytest.raises(PlatformInUse) as caught:
            lakehold.open(server_folder / "lake", **SETTINGS)
        assert f"process {os.getpid()}" in caught.value.message
        assert db.execute("SELECT 1").fetchall() == [(1,)], "the first goes on"
    other = script("import sys, lakehold; lakehold.open(sys.argv[1])", server_folder / "lake")
    assert other.returncode == 0, other.stderr


def test_the_tokens_of_closed_connections_are_revoked(server_folder):
    lakehold.open(server_folder / "lake", **SETTINGS).close()
    with Platform(load_settings(server_folder / "lake", **SETTINGS), serve=False) as platform:
        access = platform.parts.access
        assert access.tokens(by=access.principal("admin")) == []


def test_logs_go_to_the_folder_and_leave_those_of_the_script_alone(server_folder):
    done = script(
        "import logging, sys, lakehold\n"
        "logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format='mine %(name)s')\n"
        "db = lakehold.open(sys.argv[1])\n"
        "handlers = len(logging.getLogger().handlers)\n"
        "db.close()\n"
        "print(handlers)\n",
        server_folder / "lake",
    )
    assert "mine lakehold" not in done.stdout
    assert done.stdout.endswith("1\n")
    assert (server_folder / "lake" / "log" / "lakehold.jsonl").exists()
