"""``up``, ``down``, ``status``, ``doctor``, ``migrate`` and what every command shares."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from lakehold.cli import COMMANDS
from platform_process import SECRET, PlatformProcess, clean_environment, run_command
from serving import eventually


@pytest.fixture
def folder(server_folder):
    """A folder, whose platform is stopped after the test."""
    yield server_folder / "lake"
    if (server_folder / "lake").exists():
        run_command("down", "--dir", str(server_folder / "lake"))


def test_up_in_the_background_then_status_then_down(folder):
    at = ("--dir", str(folder))
    before = run_command("status", *at)
    assert (before.returncode, before.stdout) == (1, f"no platform runs in {folder}\n")

    first = run_command("up", "-d", "--port", "0", *at, LAKEHOLD_MEMORY="1GB")
    assert first.returncode == 0, first.stderr
    secret = SECRET.search(first.stdout)
    assert secret is not None, "the first start shows the one-time secret"
    assert secret[1] not in (folder / "up.log").read_text(), "and keeps it in no file"
    everything = b"".join(p.read_bytes() for p in folder.glob("**/*.log*") if p.is_file())
    assert secret[1].encode() not in everything

    shown = run_command("status", *at)
    assert shown.returncode == 0
    assert "running: process" in shown.stdout
    assert "postgres" in shown.stdout and "warehouse" in shown.stdout

    again = run_command("up", "-d", "--port", "0", *at)
    assert again.returncode == 1
    assert "already" in again.stderr
    front = run_command("up", "--port", "0", *at)
    assert front.returncode == 1
    assert "already" in front.stderr and "process" in front.stderr and "down" in front.stderr

    stopped = run_command("down", *at)
    assert stopped.returncode == 0
    assert "stopped (process" in stopped.stdout
    assert run_command("status", *at).returncode == 1
    twice = run_command("down", *at)
    assert (twice.returncode, twice.stdout) == (0, f"no platform runs in {folder}\n")
    assert not [p for p in psutil.process_iter() if _works_in(p, folder)], "nothing is left"

    second = run_command("up", "-d", "--port", "0", *at, LAKEHOLD_MEMORY="1GB")
    assert second.returncode == 0, second.stderr
    assert not SECRET.search(second.stdout), "the second start shows no secret"
    run_command("down", *at)

    third = run_command("up", "-d", "--port", "0", "--reset-admin", *at, LAKEHOLD_MEMORY="1GB")
    fresh = SECRET.search(third.stdout)
    assert fresh is not None and fresh[1] != secret[1]
    url = (folder / "url").read_text().strip()
    old = httpx.post(f"{url}/v1/login", json={"secret": secret[1], "name": "x"})
    assert old.status_code == 401, "the secret of before is no longer good"
    new = httpx.post(f"{url}/v1/login", json={"secret": fresh[1], "name": "x"})
    assert new.status_code < 300


def _works_in(process, folder):
    try:
        return str(folder) in " ".join(process.cmdline()) or process.cwd().startswith(str(folder))
    except psutil.Error:
        return False


def test_a_port_in_use_is_told_and_nothing_is_left_running(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_command("up", "--dir", str(folder), "--port", port)
        assert done.returncode == 1
        assert f"port {port} on 127.0.0.1 is in use" in done.stderr
        assert "Traceback" not in done.stderr
        background = run_command("up", "-d", "--dir", str(folder), "--port", port)
        assert background.returncode == 1
        assert f"port {port} on 127.0.0.1 is in use" in background.stderr
        found = run_command("doctor", "--dir", str(folder), LAKEHOLD_HTTP_PORT=port)
        assert found.returncode == 1
        assert "Address already in use" in found.stdout and "http_port" in found.stdout
    assert not [p for p in psutil.process_iter() if _works_in(p, folder)]
    assert run_command("status", "--dir", str(folder)).returncode == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_platform_though_a_statement_runs(server_folder, number):
    platform = PlatformProcess(server_folder / "lake").start()
    try:
        with httpx.Client(base_url=platform.url, timeout=60) as client:
            client.headers["Authorization"] = f"Bearer {platform.token}"
            command = [sys.executable, "-m", "lakehold.cli", "sql", "--url", platform.url, "-c"]
            command += ["SELECT count(*) FROM range(1000000) a, range(1000000) b"]
            shell = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=clean_environment(LAKEHOLD_TOKEN=platform.token),
            )
            eventually(lambda: "range(1000000)" in client.get("/v1/statements").text)
            began = time.monotonic()
            platform.process.send_signal(number)
            assert platform.process.wait(30) == 0
            assert time.monotonic() - began < 20
            _, told = shell.communicate(timeout=30)
            assert shell.returncode == 1
            assert "the platform is being stopped" in told
        assert "Traceback" not in platform.text
        platform.start()
        found = platform.rows(
            "SELECT status FROM lakehold.ledger WHERE statement LIKE '%range(1000000) a%' "
            "AND statement NOT LIKE '%ledger%'"
        )
        assert len(found) == 1
        assert found[0][0] in ("cancelled", "failed", "interrupted")
    finally:
        platform.clear()


def test_migrate_applies_once(folder):
    at = ("--dir", str(folder))
    first = run_command("migrate", *at)
    assert first.returncode == 0, first.stderr
    assert "applied 0002_" in first.stdout
    second = run_command("migrate", *at)
    assert (second.returncode, second.stdout) == (0, "nothing to do\n")


def test_the_help_of_every_command_is_there():
    shown = run_command("--help")
    assert shown.returncode == 0
    for name, (_, text) in COMMANDS.items():
        assert name in shown.stdout
        assert text.split(".", maxsplit=1)[0].split()[0] in shown.stdout
        own = run_command(name, "--help")
        assert own.returncode == 0, own.stderr
        assert f"Usage: lakehold {name}" in own.stdout, own.stdout


def test_the_help_and_the_version_load_nothing_heavy():
    heavy = "duckdb", "pyarrow", "psycopg", "litestar", "uvicorn", "sqlglot", "httpx"
    program = (
        "import sys\nfrom lakehold.cli import app\n"
        "try:\n    app(['--help'], standalone_mode=False)\nexcept SystemExit: pass\n"
        f"print('loaded:', [name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment()
    )
    assert "loaded: []" in done.stdout, done.stdout + done.stderr


def test_an_unknown_command_or_option_is_told_in_one_line():
    for arguments in (("upp",), ("up", "--porrt", "1"), ("up", "--port", "x")):
        done = run_command(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "Error" in done.stderr or "error" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_each_shell(shell):
    shown = run_command("--show-completion", shell)
    assert shown.returncode == 0, shown.stderr
    assert "_LAKEHOLD_COMPLETE" in shown.stdout


def test_completion_completes_commands_and_options():
    done = run_command(_LAKEHOLD_COMPLETE="complete_bash", COMP_WORDS="lakehold do", COMP_CWORD="1")
    assert {"down", "doctor"} <= set(done.stdout.split()), done.stdout + done.stderr
    done = run_command(
        _LAKEHOLD_COMPLETE="complete_bash", COMP_WORDS="lakehold up --re", COMP_CWORD="2"
    )
    assert done.stdout.split() == ["--reset-admin"], done.stdout + done.stderr


def test_no_secret_is_in_the_list_of_processes(folder):
    password = "do-not-show-me"
    dsn = f"postgresql://somebody:{password}@127.0.0.1:1/lake"
    platform = PlatformProcess(folder, postgres_dsn=dsn)
    process = platform.launch()
    seen = set()
    while process.poll() is None:
        for found in psutil.process_iter():
            try:
                seen.add(" ".join(found.cmdline()))
            except psutil.Error:
                continue
    assert not [line for line in seen if password in line and str(os.getpid()) not in line]
    assert process.returncode == 1
    assert password not in platform.text
    assert "PostgreSQL" in platform.text
