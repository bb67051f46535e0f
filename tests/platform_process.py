"""A platform as a process of its own, which tests can kill."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import httpx
import psutil

from lakehold.client import Connection, connect

SECRET = re.compile(r"^\s+(lh_\S+|[A-Za-z0-9_-]{20,})\s*$", re.MULTILINE)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without any setting of Lakehold's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LAKEHOLD_")}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "200", **more}


def run_command(
    *arguments: str, timeout_s: float = 60, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``lakehold …`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lakehold.cli", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        env=clean_environment(**environment),
        check=False,
    )


class PlatformProcess:
    """``lakehold up`` in a folder."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {"memory": "1GB", **settings}
        self.output = folder.parent / f"{folder.name}.output"
        self.secret: str | None = None
        self.token: str | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, within_s: float = 60) -> PlatformProcess:
        """Start it and wait until it is up; on the first start, log in as the administrator."""
        self.launch(*arguments)
        until = time.monotonic() + within_s
        while "Lakehold is up:" not in self.text:
            assert self.process.poll() is None, self.text
            assert time.monotonic() < until, self.text
            time.sleep(0.05)
        time.sleep(0.1)
        found = SECRET.search(self.text)
        self.secret = found[1] if found else None
        if self.secret is not None:
            answer = httpx.post(
                f"{self.url}/v1/login", json={"secret": self.secret, "name": "tests"}
            )
            assert answer.status_code < 300, answer.text
            self.token = answer.json()["token"]
        return self

    def launch(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it without waiting."""
        command = [sys.executable, "-m", "lakehold.cli", "up", "--dir", str(self.folder)]
        settings = {f"LAKEHOLD_{key.upper()}": value for key, value in self.settings.items()}
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "--port", "0", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=clean_environment(**settings),
            )
        return self._process

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def text(self) -> str:
        """What it has printed."""
        return self.output.read_text(errors="replace")

    @property
    def url(self) -> str:
        return (self.folder / "url").read_text().strip()

    @property
    def postgres(self) -> psutil.Process:
        """The process of its PostgreSQL."""
        pid = (self.folder / "postgres" / "data" / "postmaster.pid").read_text().split()[0]
        return psutil.Process(int(pid))

    def connect(self) -> Connection:
        """A connection as the administrator."""
        assert self.token is not None
        return connect(self.url, self.token)

    def rows(self, sql: str) -> list[tuple]:
        with self.connect() as db:
            return db.execute(sql).fetchall()

    def kill(self) -> None:
        """End it without any warning."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, within_s: float = 30) -> int:
        """End it as ``lakehold down`` does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within_s)

    def clear(self) -> None:
        """End whatever is left of it."""
        if self._process is not None and self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop()
            if self._process.poll() is None:
                self.kill()
        with suppress(OSError, psutil.Error, IndexError, ValueError):
            self.postgres.send_signal(signal.SIGQUIT)
