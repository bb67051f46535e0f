"""Platforms of an ordinary user, and two platforms beside each other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import psycopg
import pytest

from lakehold.app import Platform
from lakehold.errors import PlatformInUse
from lakehold.settings import load_settings
from platform_process import clean_environment

AS_NOBODY = (
    "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
    "--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search",
)  # fmt: skip
"""Another user, who may read (as far as Python is not where it may), and not write."""


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="becomes another user"
)
def test_an_ordinary_user_runs_a_platform_and_owns_all_of_it(server_folders):
    folder = server_folders / "ordinary"
    folder.mkdir(mode=0o700)
    server_folders.chmod(0o711)
    shutil.chown(folder, "nobody")
    text = (
        "import sys, lakehold\n"
        "with lakehold.open(sys.argv[1], memory='500MB') as db:\n"
        "    db.execute('CREATE TABLE IF NOT EXISTS t (a INTEGER)')\n"
        "    db.execute('INSERT INTO t VALUES (1)')\n"
        "    print(db.execute('SELECT count(*) FROM t').fetchall())\n"
    )
    for count in (1, 2):
        done = subprocess.run(
            [*AS_NOBODY, sys.executable, "-c", text, str(folder / "lake")],
            capture_output=True,
            text=True,
            cwd="/",
            env=clean_environment(HOME=str(folder)),
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, f"[({count},)]\n"), done.stderr
    for path in (folder / "lake").glob("**/*"):
        assert path.owner() == "nobody", path
        assert (
            path.is_symlink()
            or not path.stat().st_mode & 0o077
            or ("warehouse" in path.parts or path.suffix == ".lock" or "staging" in path.parts)
        ), path


def test_two_platforms_on_one_postgresql_both_work(postgres, server_folder):
    admin = f"host={postgres.sockets} user=lakehold dbname=postgres"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE shared")
    flags = {
        "postgres_dsn": f"host={postgres.sockets} user=lakehold dbname=shared",
        "warehouse": str(server_folder / "warehouse"),
        "memory": "300MB",
    }
    first = Platform(load_settings(server_folder / "one", **flags), serve=False)
    (server_folder / "two" / "keys").mkdir(parents=True, mode=0o700)
    second = Platform(load_settings(server_folder / "two", **flags), serve=False)
    with first:
        shutil.copy(server_folder / "one" / "keys" / "platform.key",
                    server_folder / "two" / "keys" / "platform.key")  # fmt: skip
        with second:
            one, two = first.admin_session(), second.admin_session()

            def run(platform, session, sql):
                with platform.gateway.execute(session, sql) as result:
                    return [row for batch in result.batches() for row in batch.to_pylist()]

            run(first, one, "CREATE TABLE t (a INTEGER)")
            for number in range(4):
                run(first, one, f"INSERT INTO t VALUES ({number})")
                run(second, two, f"INSERT INTO t VALUES ({number + 100})")
            for platform, session in ((first, one), (second, two)):
                assert run(platform, session, "SELECT count(*) AS n FROM t") == [{"n": 8}]
                assert platform.parts.ledger.verify().ok
            with pytest.raises(PlatformInUse):
                Platform(load_settings(server_folder / "two", **flags), serve=False).start()
        run(first, one, "INSERT INTO t VALUES (7)")
        assert first.parts.ledger.verify().ok
