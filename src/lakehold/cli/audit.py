"""``lakehold audit``: verify and show the ledger."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from lakehold.cli.profiles import (
    EXIT_FAILED,
    ProfileOption,
    TokenFileOption,
    UrlOption,
    open_connection,
    resolve,
    shown_errors,
    transport,
)
from lakehold.cli.shell import Settings, Shell

_SHOWN = """SELECT seq, strftime(started_at, '%Y-%m-%d %H:%M:%S') AS started_at, principal, status,
sqlstate, left(replace(statement, chr(10), ' '), 60) AS statement FROM lakehold.ledger"""

audit = typer.Typer(help="Verify and show the ledger.", no_args_is_help=True)


@audit.command()
def verify(
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Check that no record of the ledger was changed, removed or moved."""
    console = Console(highlight=False)
    with shown_errors(), transport(resolve(url, token_file, profile)) as opened:
        found = opened.call("GET", "/v1/audit/verify", timeout_s=None)
    if found["ok"]:
        console.print(f"the ledger is whole: {found['records']:,} records", style="green")
        return
    where = "" if found["first_bad"] is None else f" at record {found['first_bad']}"
    console.print(f"the ledger is broken{where}", style="bold red")
    console.print(found["reason"] or "", markup=False)
    raise typer.Exit(EXIT_FAILED)


@audit.command()
def show(
    last: Annotated[int, typer.Option("--last", "-n", help="Records to show.")] = 50,
    where: Annotated[
        str | None, typer.Option("--where", help="A SQL condition on lakehold.ledger.")
    ] = None,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Show the last records of the ledger that you may see."""
    condition = f"WHERE {where} " if where else ""
    statement = f"{_SHOWN} {condition}ORDER BY seq DESC LIMIT {max(1, last)}"
    with shown_errors(), open_connection(resolve(url, token_file, profile)) as opened:
        if not Shell(opened, Settings()).statement(statement):
            raise typer.Exit(EXIT_FAILED)
