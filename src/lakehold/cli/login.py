"""``lakehold login``, ``logout``, ``whoami``."""

from __future__ import annotations

import platform
import sys
from typing import Annotated

import typer
from rich.console import Console

from lakehold.cli.profiles import (
    DEFAULT_PROFILE,
    DEFAULT_URL,
    Profile,
    ProfileOption,
    Profiles,
    TokenFileOption,
    UrlOption,
    resolve,
    shown_errors,
    transport,
)
from lakehold.client import InterfaceError, OperationalError
from lakehold.settings import client_environment

NOT_AUTHENTICATED = "28000"


def login(
    url: UrlOption = None,
    profile: Annotated[str, typer.Option("--profile", help="Its name.")] = DEFAULT_PROFILE,
    name: Annotated[
        str | None, typer.Option("--name", help="What the new token shall be called.")
    ] = None,
) -> None:
    """Keep a server and a token in a profile.

    Asks, without showing it, for the one-time secret that the first start of a platform
    prints, or for a token; reads it from the standard input where that is no terminal.
    """
    console = Console(highlight=False)
    with shown_errors():
        server = url or client_environment().url or DEFAULT_URL
        secret = _asked().strip()
        if not secret:
            raise InterfaceError("nothing was given")
        token = _exchanged(server, secret, name) or secret
        with transport(Profile(server, token)) as opened:
            who = opened.call("GET", "/v1/whoami")
        profiles = Profiles(client_environment().config_folder)
        profiles.put(profile, Profile(server, token, who["name"]))
        console.print(f"logged in to {server} as {who['name']}", markup=False)


def _asked() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    return str(typer.prompt("One-time secret or token", hide_input=True, err=True))


def _exchanged(server: str, secret: str, name: str | None) -> str | None:
    """A token for a one-time secret; ``None`` if it is not one, and so should be a token."""
    called = name or f"login from {platform.node() or 'a terminal'}"
    try:
        with transport(Profile(server)) as opened:
            answer = opened.call("POST", "/v1/login", body={"secret": secret, "name": called})
    except OperationalError as error:
        if error.sqlstate == NOT_AUTHENTICATED:
            return None
        raise
    return str(answer["token"])


def logout(
    profile: Annotated[str, typer.Option("--profile")] = DEFAULT_PROFILE,
) -> None:
    """Revoke the token of a profile, and forget the profile."""
    console = Console(highlight=False)
    with shown_errors():
        profiles = Profiles(client_environment().config_folder)
        found = profiles.get(profile)
        if found is None:
            raise InterfaceError(f"there is no profile {profile!r}")
        try:
            with transport(found) as opened:
                who = opened.call("GET", "/v1/whoami")
                if who.get("token_id"):
                    opened.call("DELETE", f"/v1/tokens/{who['token_id']}")
        except OperationalError as error:
            console.print(f"the token was not revoked: {error.message}", markup=False)
        profiles.remove(profile)
        console.print(f"profile {profile} is forgotten", markup=False)


def whoami(
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Show who the server takes you for."""
    console = Console(highlight=False)
    with shown_errors(), transport(resolve(url, token_file, profile)) as opened:
        who = opened.call("GET", "/v1/whoami")
        console.print(f"{who['name']} at {opened.url}", markup=False)
        console.print("roles: " + (", ".join(who["roles"]) or "none"), markup=False)
