"""The command line: ``lakehold``. Commands over the HTTP API, and those that run a platform."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import typer
from typer._click import Command, Context, HelpFormatter
from typer.core import TyperGroup
from typer.main import get_command

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("lakehold.cli.demo", "Start a platform with real data, and show what it does."),
    "up": ("lakehold.cli.platform", "Start a platform in a folder."),
    "down": ("lakehold.cli.platform", "Stop the platform of a folder."),
    "status": ("lakehold.cli.platform", "Tell what runs in a folder."),
    "doctor": ("lakehold.cli.platform", "Check every part, and say how to mend what is wrong."),
    "migrate": ("lakehold.cli.platform", "Bring a folder's database to this version."),
    "sql": ("lakehold.cli.sql", "A terminal for SQL."),
    "load": ("lakehold.cli.load", "Load files into a table."),
    "login": ("lakehold.cli.login", "Keep a token for a server."),
    "logout": ("lakehold.cli.login", "Forget and revoke it."),
    "whoami": ("lakehold.cli.login", "Show who the server takes you for."),
    "token": ("lakehold.cli.token", "Create, list and revoke tokens."),
    "audit": ("lakehold.cli.audit", "Verify and show the ledger."),
}
"""The commands, each with the module that holds it: loaded when it is called."""


class _Lazy(TyperGroup):
    """Loads a command's module when the command is called, so that ``--help`` is quick."""

    def list_commands(self, ctx: Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        known = COMMANDS.get(cmd_name)
        if known is None:
            return None
        found = getattr(importlib.import_module(known[0]), cmd_name)
        return _as_command(found, cmd_name, known[1])

    def format_commands(self, ctx: Context, formatter: HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _as_command(found: Any, name: str, text: str) -> Command:
    if not isinstance(found, typer.Typer):
        holder = typer.Typer(add_completion=False, rich_markup_mode=None)
        holder.command(name)(found)
        found = holder
    command = get_command(found)
    command.name = name
    if not command.help:
        command.help = text
    return command


app = typer.Typer(
    cls=_Lazy,
    name="lakehold",
    help="Lakehold: a governed data platform.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and leave."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(f"lakehold {installed('lakehold')}")
        raise typer.Exit


def main() -> None:
    """The entry point. An error is one line and a hint, never a traceback."""
    from lakehold.errors import LakeholdError
    from lakehold.settings import client_environment

    try:
        app(prog_name="lakehold")
    except LakeholdError as error:
        if client_environment().debug:
            raise
        typer.echo(f"error: {error.message}", err=True)
        if error.hint:
            typer.echo(f"hint: {error.hint}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if client_environment().debug:
            raise
        typer.echo(
            f"error: something in Lakehold failed: {type(error).__name__}: {error}", err=True
        )
        typer.echo("hint: LAKEHOLD_DEBUG=1 shows where", err=True)
        sys.exit(1)
