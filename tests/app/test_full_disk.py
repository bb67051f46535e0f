"""Disks that are full or cannot be written: clear errors, nothing lost, and all works again."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager, suppress

import httpx
import pytest

import lakehold
from platform_process import run_command
from serving import eventually

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="mounts small disks")

FILL = "SELECT range AS a, md5(range::VARCHAR) || md5((range + 1)::VARCHAR) AS b FROM range({rows})"


@contextmanager
def small_disk(place, size):
    """A disk of so many bytes."""
    place.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("may not mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)


def fill(disk):
    """Write until nothing more fits."""
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        for size in (65536, 4096, 512):
            with suppress(OSError):
                while True:
                    ballast.write(b"x" * size)


def verified(platform):
    headers = {"Authorization": f"Bearer {platform.token}"}
    return httpx.get(f"{platform.url}/v1/audit/verify", headers=headers, timeout=30).json()["ok"]


def test_a_warehouse_that_is_full_loses_nothing_and_works_again(make_platform, server_folder):
    with small_disk(server_folder / "small", "24m") as disk:
        platform = make_platform(warehouse=str(disk / "warehouse"), threads="2").start()
        with platform.connect() as db:
            db.execute("CREATE TABLE t AS " + FILL.format(rows=1000))
            with pytest.raises(Exception) as caught:
                db.execute("INSERT INTO t " + FILL.format(rows=2_000_000))
            assert "full" in str(caught.value), caught.value
            assert str(disk) not in str(caught.value)
            assert db.execute("SELECT count(*) FROM t").fetchall() == [(1000,)]
            # What was begun stays until it is swept; the disk grows.
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            db.execute("INSERT INTO t VALUES (-1, 'x')")
            fill(disk)
            for statement in ("INSERT INTO t VALUES (-2, 'x')", "DELETE FROM t WHERE a = 3",
                              "CREATE TABLE u (a INTEGER)", "ALTER TABLE t ADD COLUMN c INTEGER"):  # fmt: skip
                with pytest.raises(Exception) as caught:
                    db.execute(statement)
                assert "full" in str(caught.value), (statement, caught.value)
            ready = httpx.get(f"{platform.url}/ready")
            assert ready.status_code == 503
            assert "full" in ready.text
            found = run_command("doctor", "--dir", str(platform.folder),
                                LAKEHOLD_WAREHOUSE=str(disk / "warehouse"))  # fmt: skip
            assert found.returncode == 1
            assert "full" in found.stdout
            (disk / "ballast").unlink()
            db.execute("INSERT INTO t VALUES (-3, 'x')")
            assert db.execute("SELECT count(*) FROM t").fetchall() == [(1002,)]
            assert httpx.get(f"{platform.url}/ready").status_code == 200
        assert verified(platform)
        assert platform.stop() == 0


def test_a_postgresql_whose_disk_is_full_refuses_and_works_again(make_platform, server_folder):
    with small_disk(server_folder / "lake" / "postgres", "130m") as disk:
        platform = make_platform(warehouse=str(server_folder / "warehouse")).start()
        with platform.connect() as db:
            db.execute("CREATE TABLE t (a INTEGER)")
            db.execute("INSERT INTO t VALUES (1)")
            fill(disk)
            acknowledged, refused = 1, []
            for number in range(400):
                try:
                    db.execute(f"INSERT INTO t VALUES ({number}) -- {'x' * 60_000}")
                    acknowledged += 1
                except Exception as error:
                    refused.append(error)
                    if len(refused) > 3:
                        break
            assert refused, "the disk was never full"
            messages = {str(error) for error in refused}
            assert all("PostgreSQL" in message for message in messages), messages
            (disk / "ballast").unlink()

            def works():
                try:
                    db.execute("INSERT INTO t VALUES (-1)")
                except Exception:
                    return False
                return True

            eventually(works, 30)
            count = db.execute("SELECT count(*) FROM t").fetchall()[0][0]
            assert count >= acknowledged + 1
        assert verified(platform)
        assert platform.stop() == 0


def test_a_warehouse_that_is_read_only_is_told_at_once_and_read_on(make_platform, server_folder):
    with small_disk(server_folder / "small", "24m") as disk:
        platform = make_platform(warehouse=str(disk / "warehouse")).start()
        with platform.connect() as db:
            db.execute("CREATE TABLE t AS " + FILL.format(rows=10))
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            assert db.execute("SELECT count(*) FROM t").fetchall() == [(10,)]
            for statement in ("INSERT INTO t VALUES (-2, 'x')", "UPDATE t SET b = 'x'",
                              "CREATE TABLE u (a INTEGER)", "DROP TABLE t"):  # fmt: skip
                try:
                    db.execute(statement)
                except Exception as error:
                    assert "cannot be written" in str(error), (statement, error)
                    assert str(server_folder) not in str(error)
                    assert str(disk) not in str(error)
                else:
                    assert statement.startswith("DROP"), statement
            assert httpx.get(f"{platform.url}/ready").status_code == 503
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            db.execute("CREATE TABLE u (a INTEGER)")
        assert verified(platform)


def test_a_folder_that_cannot_be_written_is_told_before_anything_starts(server_folder):
    with small_disk(server_folder / "small", "24m") as disk:
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done = run_command("up", "--port", "0", "--dir", str(disk / "lake"))
        assert done.returncode == 1
        assert "cannot be written" in done.stderr and str(disk) in done.stderr
        background = run_command("up", "-d", "--port", "0", "--dir", str(disk / "lake"))
        assert background.returncode == 1
        assert "cannot be written" in background.stderr
        assert "Traceback" not in done.stderr + background.stderr


def test_a_disk_too_small_to_begin_is_told(server_folder):
    with small_disk(server_folder / "small", "8m") as disk:
        done = run_command("up", "--port", "0", "--dir", str(disk / "lake"))
        assert done.returncode == 1
        assert "No space left" in done.stderr or "full" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_spilling_is_bounded_and_the_engine_lives(server_folder):
    with lakehold.open(server_folder / "lake", memory="300MB", spill="50MB", threads=1) as db:
        for statement in (
            "SELECT a, list(b) FROM (" + FILL.format(rows=8_000_000) + ") GROUP BY a ORDER BY 1",
            "SELECT * FROM (" + FILL.format(rows=8_000_000) + ") ORDER BY b",
        ):
            with pytest.raises(Exception) as caught:
                db.arrow(statement)
            assert "memory or spill" in str(caught.value), caught.value
            assert db.execute("SELECT 1").fetchall() == [(1,)]
        left = [path for path in (server_folder / "lake" / "spill").glob("*") if path.is_file()]
        assert sum(path.stat().st_size for path in left) < 60 * 1024 * 1024
