"""Which server, and with which token: profiles in the user's own folder, readable by nobody else.

A token never stands in the arguments of a command: other users of the machine can list those.
It comes from ``--token-file``, from ``LAKEHOLD_TOKEN``, or from a profile that
``lakehold login`` wrote.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from lakehold.client import Connection, Error, InterfaceError, Transport, connect
from lakehold.settings import client_environment

DEFAULT_PROFILE = "default"
DEFAULT_URL = "http://127.0.0.1:8090"
EXIT_FAILED = 1
EXIT_NO_SERVER = 2

UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="The server, such as https://lake.example:8443."),
]
TokenFileOption = Annotated[
    Path | None,
    typer.Option("--token-file", help="A file that holds the token.", exists=True, dir_okay=False),
]
ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="A profile that 'lakehold login' wrote.")
]


@dataclass(frozen=True, slots=True)
class Profile:
    """A server and how to reach it."""

    url: str
    token: str | None = field(default=None, repr=False)
    principal: str | None = None


class Profiles:
    """The profiles file, ``profiles.json`` in the user's configuration folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "profiles.json"

    def names(self) -> list[str]:
        """The names of all profiles."""
        return sorted(self._read())

    def get(self, name: str) -> Profile | None:
        """A profile, if there is one of that name."""
        found = self._read().get(name)
        if not isinstance(found, dict) or not isinstance(found.get("url"), str):
            return None
        return Profile(found["url"], found.get("token"), found.get("principal"))

    def put(self, name: str, profile: Profile) -> None:
        """Write a profile."""
        entry = {
            "url": profile.url,
            "token": profile.token,
            "principal": profile.principal,
        }
        self._write({**self._read(), name: entry})

    def remove(self, name: str) -> bool:
        """Forget a profile; tells whether there was one."""
        profiles = self._read()
        if profiles.pop(name, None) is None:
            return False
        self._write(profiles)
        return True

    def _read(self) -> dict[str, Any]:
        try:
            mode = self._path.stat().st_mode
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InterfaceError(
                    f"{self._path} can be read by others",
                    hint=f"chmod 600 {self._path}",
                )
            profiles = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise InterfaceError(f"{self._path} cannot be read: {error}") from error
        return profiles if isinstance(profiles, dict) else {}

    def _write(self, profiles: dict[str, Any]) -> None:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = self._path.with_suffix(".new")
            new.unlink(missing_ok=True)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(profiles, file, indent=2)
            new.replace(self._path)
        except OSError as error:
            raise InterfaceError(f"{self._path} cannot be written: {error}") from error


def resolve(url: str | None, token_file: Path | None, profile_name: str | None) -> Profile:
    """The server and token that a command shall use.

    Raises:
        InterfaceError: a named profile is missing, or the token file cannot be read.
    """
    environment = client_environment()
    profile = Profiles(environment.config_folder).get(profile_name or DEFAULT_PROFILE)
    if profile_name is not None and profile is None:
        raise InterfaceError(f"there is no profile {profile_name!r}", hint="lakehold login")
    chosen_url = url or environment.url or (profile.url if profile else DEFAULT_URL)
    if token_file is not None:
        try:
            return Profile(chosen_url, token_file.read_text(encoding="utf-8").strip())
        except (OSError, ValueError) as error:
            raise InterfaceError(f"{token_file} cannot be read: {error}") from error
    if environment.token:
        return Profile(chosen_url, environment.token)
    if profile is not None and profile.url.rstrip("/") == chosen_url.rstrip("/"):
        return profile
    return Profile(chosen_url)  # a token is never sent to a server that it is not for


def open_connection(profile: Profile, **options: Any) -> Connection:
    """Connect as a command of the terminal."""
    if profile.token is None:
        raise InterfaceError(f"there is no token for {profile.url}", hint="lakehold login")
    return connect(
        profile.url, profile.token, verify=trusted(), application="lakehold-cli", **options
    )


def trusted() -> str | bool:
    """The file of the authorities that certificates are checked against, or the usual ones."""
    return client_environment().authority or True


@contextmanager
def transport(profile: Profile) -> Iterator[Transport]:
    """Requests to the server, as a command of the terminal."""
    opened = Transport(profile.url, profile.token, verify=trusted(), application="lakehold-cli")
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show an error as a person wants to read it, and end with an exit code."""
    try:
        yield
    except Error as error:
        console = Console(stderr=True, highlight=False)
        console.print(f"[bold red]error:[/] {_escape(error.message)}")
        if error.hint:
            console.print(f"[dim]{_escape(error.hint)}[/]")
        raise typer.Exit(EXIT_NO_SERVER if error.sqlstate == "08001" else EXIT_FAILED) from None


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(text)
