"""A platform in a process of its own, as users run it, for the benchmarks to call."""

from __future__ import annotations

import os
import platform as host
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

import httpx
import psutil

import lakehold
from lakehold.client import Connection


def machine() -> str:
    """The machine in a line."""
    memory = psutil.virtual_memory().total / 1024**3
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {host.system()} {host.machine()}"


class Server:
    """``lakehold up`` in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lakehold-bench-"))
        self.url = ""
        self.token = ""
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Server:
        command = [sys.executable, "-m", "lakehold.cli", "up"]
        command += ["--dir", str(self.folder / "data"), "--port", "0"]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"}
        )
        assert self._process.stdout is not None
        secret = ""
        until = time.monotonic() + 120
        while time.monotonic() < until:
            line = self._process.stdout.readline()
            if found := re.search(r"Lakehold is up: (\S+)", line):
                self.url = found[1]
            if found := re.search(r"^\s+(lh_\w+)\s*$", line):
                secret = found[1]
                break
        answer = httpx.post(f"{self.url}/v1/login", json={"secret": secret, "name": "bench"})
        answer.raise_for_status()
        self.token = answer.json()["token"]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the server's process (without PostgreSQL)."""
        assert self._process is not None
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def admin(self) -> Connection:
        """A connection as the administrator."""
        return lakehold.connect(self.url, token=self.token)

    def reader(self, name: str, *grants: str) -> Connection:
        """A connection as a new user with these grants and no more."""
        with self.admin() as db:
            db.execute(f"CREATE ROLE IF NOT EXISTS {name}_role")
            db.execute(f"CREATE USER IF NOT EXISTS {name}")
            db.execute(f"GRANT ROLE {name}_role TO USER {name}")
            for grant in grants:
                db.execute(f"GRANT {grant} TO ROLE {name}_role")
        answer = httpx.post(
            f"{self.url}/v1/tokens",
            json={"name": "bench", "principal": name},
            headers={"Authorization": f"Bearer {self.token}"},
        )
        answer.raise_for_status()
        return lakehold.connect(self.url, token=answer.json()["token"])
