"""``lakehold token``: create, list and revoke tokens."""

from __future__ import annotations

import re
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lakehold.cli.profiles import (
    ProfileOption,
    TokenFileOption,
    UrlOption,
    resolve,
    shown_errors,
    transport,
)
from lakehold.client import InterfaceError

token = typer.Typer(help="Create, list and revoke tokens.", no_args_is_help=True)

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@token.command()
def create(
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    principal: Annotated[
        str | None,
        typer.Option("--for", help="Another principal (administrators only)."),
    ] = None,
    expires: Annotated[str, typer.Option(help="Such as 12h or 90d; 'never'.")] = "90d",
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Create a token and print it. It cannot be shown again."""
    with shown_errors(), transport(resolve(url, token_file, profile)) as opened:
        body = {"name": name, "principal": principal, "expires_in_s": seconds(expires)}
        answer = opened.call("POST", "/v1/tokens", body=body)
        typer.echo(answer["token"])


@token.command("list")
def list_tokens(
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """List tokens: yours, or everybody's for an administrator."""
    with shown_errors(), transport(resolve(url, token_file, profile)) as opened:
        answer = opened.call("GET", "/v1/tokens")
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("id", no_wrap=True, min_width=36)
    for title in ("name", "principal", "created", "expires", "last used"):
        table.add_column(title, overflow="fold")
    for found in answer["tokens"]:
        dates = [
            (found.get(key) or "")[:10] for key in ("created_at", "expires_at", "last_used_at")
        ]
        table.add_row(found["id"], found["name"], found["principal"], *dates)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(table, markup=False)


@token.command()
def revoke(
    token_id: Annotated[str, typer.Argument(help="The id that 'token list' shows.")],
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Revoke a token at once."""
    with shown_errors(), transport(resolve(url, token_file, profile)) as opened:
        opened.call("DELETE", f"/v1/tokens/{token_id}")
        typer.echo(f"token {token_id} is revoked")


def seconds(text: str) -> int | None:
    """Read ``90d``, ``12h`` …; ``None`` for ``never``."""
    if text == "never":
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", text)
    if match is None:
        raise InterfaceError(f"{text!r} is not a duration", hint="Write 30m, 12h, 90d or never.")
    return int(match[1]) * _UNITS_S[match[2]]
