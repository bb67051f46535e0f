"""The processes of a PostgreSQL server, found by the data folder that they work in."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil

LEFTOVERS_TIMEOUT_S = 10.0
"""How long the children of a killed server are waited for."""
SOCKET_LOCK = ".s.PGSQL.5432.lock"
"""The file beside a socket that names its server."""


def server_process(data: Path) -> int | None:
    """The process of the server that runs on a data folder, if one does.

    A process counts that ``postmaster.pid`` names and that works in the folder: its number
    may have been given to another since, even to another PostgreSQL.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if _works_in(pid, data) else None


def socket_folder(data: Path) -> Path | None:
    """Where the server that runs on a data folder has its socket (``postmaster.pid``, line 5)."""
    if server_process(data) is None:
        return None
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return None
    return Path(lines[4]) if len(lines) > 4 and lines[4] else None


def end_leftovers(data: Path) -> bool:
    """Wait until the children of a killed server are gone, and end those that stay.

    As long as one is there it may write; a second server beside it would destroy the data.
    Returns whether all are gone.
    """
    for number in (None, signal.SIGQUIT, signal.SIGKILL):
        left = _children(data)
        for pid in left:
            if number is not None:
                _signal(pid, number)
        until = time.monotonic() + LEFTOVERS_TIMEOUT_S
        while left and time.monotonic() < until:
            time.sleep(0.02)
            left = [pid for pid in left if _works_in(pid, data)]
        if not left:
            return True
    return False


def forget_foreign(data: Path, sockets: Path) -> None:
    """Remove the lock files of a killed server whose number a process has that is not it.

    PostgreSQL itself sees to those whose process is gone. Called when no child is left.
    """
    for path in (data / "postmaster.pid", sockets / SOCKET_LOCK):
        try:
            pid = int(path.read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            continue
        if psutil.pid_exists(pid) and not _works_in(pid, data):
            path.unlink(missing_ok=True)


def _children(data: Path) -> list[int]:
    return [process.pid for process in psutil.process_iter() if _works_in(process.pid, data)]


def _works_in(pid: int, data: Path) -> bool:
    """Whether a process is a living PostgreSQL in this folder, of whatever account."""
    try:
        process = psutil.Process(pid)
        return (
            "postgres" in process.name()
            and process.status() != psutil.STATUS_ZOMBIE
            and os.path.samefile(process.cwd(), data)
        )
    except (psutil.Error, OSError, ValueError):
        return False


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
