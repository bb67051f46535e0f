"""``lakehold doctor``: every part looked at, with what is wrong and how to mend it.

Works on a folder whether or not its platform runs; it changes nothing that is there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from lakehold.app.platform import folder_holder, s3_credentials
from lakehold.engines.duckdb import EXTENSIONS, extension_path
from lakehold.errors import LakeholdError
from lakehold.keys import PlatformKeys
from lakehold.settings import Settings
from lakehold.state import Database, EmbeddedPostgres, applied, known_migrations
from lakehold.storage import S3Credentials, open_store

FREE_MIN = 2 * 1024**3
"""Free bytes on the folder's disk below which doctor warns."""

SKEW_MAX_S = 5.0
"""How far PostgreSQL's clock may be from ours."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one part; ``remedy`` if something is wrong."""

    part: str
    ok: bool
    found: str
    remedy: str | None = None


def diagnose(settings: Settings) -> Iterator[Finding]:
    """Look at every part, one after another."""
    checks: list[tuple[str, Callable[[Settings], Iterator[Finding]]]] = [
        ("python", _python),
        ("wheels", _wheels),
        ("folder", _folder),
        ("key", _key),
        ("platform", _platform),
        ("postgres", _postgres),
        ("warehouse", _warehouse),
    ]
    for part, check in checks:
        try:
            yield from check(settings)
        except LakeholdError as error:
            yield Finding(part, False, error.message, error.hint)
        except OSError as error:
            yield Finding(part, False, str(error), "check the permissions")


def _python(_: Settings) -> Iterator[Finding]:
    shown = ".".join(str(number) for number in sys.version_info[:3])
    yield Finding("python", sys.version_info >= (3, 11), shown, "3.11 or newer is needed")


def _wheels(_: Settings) -> Iterator[Finding]:
    missing = [
        name
        for name in ("duckdb", "pyarrow", "psycopg", "litestar", "uvicorn", "obstore")
        if importlib.util.find_spec(name) is None
    ]
    yield Finding(
        "wheels",
        not missing,
        f"missing: {', '.join(missing)}" if missing else "all there",
        "pip install lakehold again",
    )
    for name in EXTENSIONS:
        extension_path(name)
    yield Finding("extensions", True, ", ".join(EXTENSIONS))


def _folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.dir
    if not folder.exists():
        yield Finding("folder", False, f"{folder} is not there", "lakehold up makes it")
        return
    found = folder.stat()
    if found.st_uid != os.getuid():
        yield Finding("folder", False, f"{folder} belongs to another user", "run as that user")
    elif stat.S_IMODE(found.st_mode) & 0o066:
        yield Finding("folder", False, f"{folder} can be read by others", f"chmod 700 {folder}")
    elif not os.access(folder, os.W_OK):
        yield Finding("folder", False, f"{folder} cannot be written", "check its permissions")
    else:
        yield Finding("folder", True, str(folder))
    free = shutil.disk_usage(folder).free
    yield Finding(
        "disk",
        free >= FREE_MIN,
        f"{free / 1024**3:.1f} GiB free",
        "free some space: statements that spill and new rows need it",
    )


def _key(settings: Settings) -> Iterator[Finding]:
    path = settings.dir / "keys" / "platform.key"
    if not path.exists():
        yield Finding("key", False, "there is no platform key yet", "lakehold up makes it")
        return
    PlatformKeys.open(path.parent)
    yield Finding("key", True, "readable by its owner alone")


def _platform(settings: Settings) -> Iterator[Finding]:
    pid = folder_holder(settings.dir)
    if pid is None:
        yield Finding("platform", True, "not running")
        if settings.http_port:
            yield _port(settings)
        return
    yield Finding("platform", True, f"runs as process {pid}")
    url = _url(settings.dir)
    if url is None:
        yield Finding("http", False, "does not listen yet", "wait, or look into log/")
        return
    try:
        answer = httpx.get(f"{url}/ready", timeout=10, verify=False)  # noqa: S501 - our own listener, by its own address
    except httpx.HTTPError as error:
        yield Finding("http", False, f"{url} does not answer ({type(error).__name__})",
                      "look into log/lakehold.jsonl")  # fmt: skip
        return
    yield Finding("http", answer.status_code == 200, f"{url} answers {answer.status_code}",
                  answer.text[:300])  # fmt: skip


def _port(settings: Settings) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.http_host, settings.http_port))
        except OSError as error:
            return Finding(
                "port",
                False,
                f"{settings.http_host}:{settings.http_port}: {error.strerror}",
                "stop what listens there, or set http_port",
            )
    return Finding("port", True, f"{settings.http_host}:{settings.http_port} is free")


def _postgres(settings: Settings) -> Iterator[Finding]:
    if settings.postgres_dsn:
        conninfo = settings.postgres_dsn
    else:
        server = EmbeddedPostgres(settings.dir / "postgres")
        if not server.running:
            yield Finding("postgres", True, "embedded, not running; lakehold up starts it")
            return
        conninfo = server.conninfo
    database = Database(conninfo, pool_max=2, wait_s=5)
    try:
        version = database.check()
        yield Finding("postgres", True, f"{version // 10000}.{version % 10000}")
        done, known = applied(database), known_migrations()
        missing = [step.name for step in known if step.number not in done]
        yield Finding(
            "migrations",
            not missing,
            f"{len(done)} applied" + (f", missing {', '.join(missing)}" if missing else ""),
            "lakehold migrate",
        )
        with database.transaction(read_only=True) as connection:
            row = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchone()
        skew_s = abs(float(row[0]) - time.time()) if row else 0.0
        yield Finding("clock", skew_s < SKEW_MAX_S, f"{skew_s:.1f} s from PostgreSQL's", "run NTP")
    finally:
        database.close()


def _warehouse(settings: Settings) -> Iterator[Finding]:
    location = settings.warehouse_location
    if not settings.is_s3 and not Path(location.removeprefix("file://")).exists():
        yield Finding("warehouse", True, f"{location} is not there yet; lakehold up makes it")
        return
    credentials = S3Credentials() if not settings.is_s3 else None
    if settings.is_s3:
        credentials = s3_credentials(settings)
    store = open_store(location, s3=credentials)
    probe = f"{store.root.rstrip('/')}/.lakehold-doctor-{os.getpid()}"
    store.write(probe, b"check")
    store.delete(probe)
    yield Finding("warehouse", True, f"{location} can be written")


def _url(folder: Path) -> str | None:
    try:
        return (folder / "url").read_text().strip() or None
    except OSError:
        return None
