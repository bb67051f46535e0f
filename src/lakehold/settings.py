"""Settings: the defaults, ``lakehold.toml``, the environment, and flags, in that order.

This is the only module that reads the environment. Names carry their units. A key that is not
known is an error, since a setting that is misspelt and ignored is a hole.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lakehold.errors import ConfigurationInvalid

FILE = "lakehold.toml"
FOLDER = "lakehold-data"
PREFIX = "LAKEHOLD_"
CLIENT_NAMES = frozenset({"url", "token", "config", "debug"})
"""What the environment tells clients; no settings of a platform."""
PORT = 8090
LEAST = {
    "statements": 1,
    "writers": 1,
    "postgres_connections": 4,
    "statement_bytes": 1,
    "staging_bytes": 1,
    "threads": 0,
}
"""The least values of whole numbers."""

_SIZE = re.compile(r"\d+(\.\d+)?\s*(B|[KMGT]i?B)", re.IGNORECASE)
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Settings:
    """How a platform runs.

    Attributes:
        dir: the platform's folder: PostgreSQL, warehouse, keys, logs, spill.
        postgres_dsn: a PostgreSQL 17+ of yours; empty for the embedded one.
        postgres_connections: connections to it at most.
        warehouse: where tables are: a folder, or ``s3://bucket/prefix``; empty for
            ``dir/warehouse``.
        s3_region, s3_endpoint, s3_key_id, s3_secret, s3_session_token: access to S3. Without
            keys, the store's own way of finding credentials counts.
        s3_vend_credentials: hand the static credentials to outside engines that may load a
            table; they open the files of every table.
        http_host, http_port: where HTTP listens; port 0 takes any.
        tls_certificate, tls_private_key: PEM files; both or none.
        insecure: allow listening beyond this machine without TLS.
        memory: for the embedded engine, such as ``8GB``; empty for 60 % of the machine.
        threads: of the embedded engine; 0 for one a core.
        spill: size of temporary files, such as ``50GB``; empty for 90 % of the free disk.
        statements: statements that may run at the same time.
        writers: statements that may write at the same time.
        statement_time_s: seconds that a statement may take.
        statement_bytes: length of a statement's text.
        staging_bytes: room for files on their way in.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
    """

    dir: Path = Path(FOLDER)
    postgres_dsn: str = field(default="", repr=False)
    postgres_connections: int = 40
    warehouse: str = ""
    s3_region: str = "us-east-1"
    s3_endpoint: str = ""
    s3_key_id: str = field(default="", repr=False)
    s3_secret: str = field(default="", repr=False)
    s3_session_token: str = field(default="", repr=False)
    s3_vend_credentials: bool = False
    http_host: str = "127.0.0.1"
    http_port: int = PORT
    tls_certificate: Path | None = None
    tls_private_key: Path | None = None
    insecure: bool = False
    memory: str = ""
    threads: int = 0
    spill: str = ""
    statements: int = 64
    writers: int = 8
    statement_time_s: float = 3600.0
    statement_bytes: int = 4 * 1024 * 1024
    staging_bytes: int = 64 * 1024 * 1024 * 1024
    log_level: str = "info"

    @property
    def warehouse_location(self) -> str:
        """Where tables are, absolute."""
        return self.warehouse or str(self.dir / "warehouse")

    @property
    def is_s3(self) -> bool:
        return self.warehouse.startswith("s3://")


def load_settings(folder: Path | None = None, **flags: Any) -> Settings:
    """Put the settings together and check them.

    Args:
        folder: the platform's folder; ``LAKEHOLD_DIR`` or ``lakehold-data`` by default.
        flags: values that override all others; ``None`` for those not given.

    Raises:
        ConfigurationInvalid: naming the key, what was expected, and where it was set.
    """
    environment = {
        key[len(PREFIX) :].lower(): value
        for key, value in os.environ.items()
        if key.startswith(PREFIX)
    }
    base = folder or Path(environment.pop("dir", "") or FOLDER)
    environment.pop("dir", None)
    base = base.expanduser().absolute()
    values: dict[str, Any] = {"dir": base}
    values |= _from_file(base / FILE)
    ours = {key: value for key, value in environment.items() if key not in CLIENT_NAMES}
    values |= _converted(ours, "the environment", text=True)
    values |= _converted({k: v for k, v in flags.items() if v is not None}, "a flag")
    return check(replace(Settings(), **values))


def check(settings: Settings) -> Settings:
    """Refuse settings that cannot work together.

    Raises:
        ConfigurationInvalid
    """
    if (settings.tls_certificate is None) != (settings.tls_private_key is None):
        raise ConfigurationInvalid("TLS needs both tls_certificate and tls_private_key")
    if (
        settings.http_host not in LOOPBACK
        and settings.tls_certificate is None
        and not settings.insecure
    ):
        raise ConfigurationInvalid(
            f"listening on {settings.http_host} without TLS would send tokens and data in clear",
            hint="set tls_certificate and tls_private_key, or insecure = true behind a proxy",
        )
    if not 0 <= settings.http_port <= 65535:
        raise ConfigurationInvalid(f"http_port is 0 to 65535, not {settings.http_port}")
    for name, least in LEAST.items():
        if getattr(settings, name) < least:
            raise ConfigurationInvalid(f"{name} is at least {least}, not {getattr(settings, name)}")
    for name in ("memory", "spill"):
        size = getattr(settings, name)
        if size and not _SIZE.fullmatch(size):
            raise ConfigurationInvalid(f"{name} is a size such as 8GB, not {size!r}")
    if not 0 < settings.statement_time_s < math.inf:
        raise ConfigurationInvalid("statement_time_s is a positive number of seconds")
    if settings.log_level not in ("debug", "info", "warning", "error"):
        raise ConfigurationInvalid(f"log_level {settings.log_level!r} is not known")
    if settings.warehouse and not settings.warehouse.startswith(("/", "s3://", "file:///")):
        raise ConfigurationInvalid(
            f"warehouse {settings.warehouse!r} is neither an absolute folder nor s3://bucket/prefix"
        )
    return settings


@dataclass(frozen=True, slots=True)
class ClientEnvironment:
    """What the environment tells the command line's clients.

    Attributes:
        url: ``LAKEHOLD_URL``.
        token: ``LAKEHOLD_TOKEN``.
        config_folder: where profiles and history are; ``LAKEHOLD_CONFIG`` or the user's own.
        debug: ``LAKEHOLD_DEBUG``: show tracebacks.
        authority: ``LAKEHOLD_CA``: a PEM file of authorities to trust instead of the usual ones.
    """

    url: str | None
    token: str | None = field(repr=False)
    config_folder: Path = Path()
    debug: bool = False
    authority: str | None = None


def client_environment() -> ClientEnvironment:
    """Read the environment for a client."""
    own = os.environ.get("LAKEHOLD_CONFIG")
    home = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return ClientEnvironment(
        url=os.environ.get("LAKEHOLD_URL") or None,
        token=os.environ.get("LAKEHOLD_TOKEN") or None,
        config_folder=Path(own) if own else Path(home) / "lakehold",
        debug=bool(os.environ.get("LAKEHOLD_DEBUG")),
        authority=os.environ.get("LAKEHOLD_CA") or None,
    )


def _from_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationInvalid(f"{path} cannot be read: {error}") from None
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationInvalid(f"{path} is not valid TOML: {error}") from None
    return _converted(found, str(path))


def _converted(values: Mapping[str, Any], where: str, *, text: bool = False) -> dict[str, Any]:
    """Values as their settings' types.

    Args:
        text: whether values are text, as in the environment.
    """
    kinds = typing.get_type_hints(Settings)
    found = {}
    for key, value in values.items():
        if key not in kinds or (key == "dir" and where != "a flag"):
            shown = f"{PREFIX}{key.upper()}" if text else key
            near = [name for name in difflib.get_close_matches(key, kinds, n=3) if name != key]
            raise ConfigurationInvalid(
                f"{where}: there is no setting {shown}",
                hint=f"did you mean {f'{PREFIX}{near[0].upper()}' if text else near[0]}?"
                if near
                else "see docs/reference/settings.md",
            )
        found[key] = _convert(key, value, kinds[key], where, text)
    return found


def _convert(key: str, value: Any, kind: Any, where: str, text: bool) -> Any:
    if isinstance(kind, types.UnionType):
        kind = next(item for item in typing.get_args(kind) if item is not type(None))
    if kind is Path and isinstance(value, str | Path):
        return Path(value).expanduser()
    if kind is bool and text and str(value).lower() in ("1", "true", "yes", "0", "false", "no"):
        return str(value).lower() in ("1", "true", "yes")
    if kind in (int, float) and text:
        try:
            return kind(value)
        except ValueError:
            pass
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    raise ConfigurationInvalid(
        f"{where}: {key} should be {kind.__name__}, and is {type(value).__name__}"
    )
