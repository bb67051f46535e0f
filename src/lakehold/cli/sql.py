"""``lakehold sql``: a terminal SQL client."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lakehold.cli.profiles import (
    EXIT_FAILED,
    ProfileOption,
    TokenFileOption,
    UrlOption,
    open_connection,
    resolve,
    shown_errors,
)
from lakehold.cli.rendering import FORMATS, Format
from lakehold.cli.shell import Leave, Settings, Shell
from lakehold.client import InterfaceError
from lakehold.settings import client_environment


def sql(
    command: Annotated[
        list[str] | None,
        typer.Option("--command", "-c", help="Run this and leave. Repeatable."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", "-f", help="Run the statements of a file and leave; '-' is stdin."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write results to a file; its suffix is the format."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="One of " + ", ".join(FORMATS) + ".")
    ] = None,
    schema: Annotated[
        str | None, typer.Option("--schema", help="The schema of names without one.")
    ] = None,
    purpose: Annotated[
        str | None,
        typer.Option("--purpose", help="Why data is being read; it is recorded."),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option("--timeout", help="Seconds that a statement may take."),
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="Go on with the next statement after an error."),
    ] = False,
    pager: Annotated[bool, typer.Option(help="Show large results in a pager.")] = True,
    url: UrlOption = None,
    token_file: TokenFileOption = None,
    profile: ProfileOption = None,
) -> None:
    """Run SQL: at a prompt, from -c, from a file, or from a pipe.

    Ends with 0 if all went well, 1 if a statement failed, 2 if the server cannot be reached.
    """
    with shown_errors():
        if form is not None and form not in FORMATS:
            raise InterfaceError(f"there is no format {form!r}", hint=", ".join(FORMATS))
        text = _text(command, file)
        chosen: Format = form if form is not None else "table"
        settings = Settings(
            form=chosen, pager=pager, interactive=text is None, stop_on_error=not go_on
        )
        where = resolve(url, token_file, profile)
        with open_connection(where, schema=schema, purpose=purpose, timeout_s=timeout) as opened:
            shell = Shell(opened, settings, output=output)
            well = True
            try:
                if text is None:
                    _converse(shell)
                else:
                    well = shell.run_text(text)
            except Leave:
                pass
            finally:
                shell.close()
    if not well:
        raise typer.Exit(EXIT_FAILED)


def _text(command: list[str] | None, file: Path | None) -> str | None:
    """What to run; ``None`` for a prompt."""
    if command:
        return ";\n".join(part.rstrip().rstrip(";") for part in command) + ";"
    try:
        if file is not None and str(file) != "-":
            return file.read_text(encoding="utf-8")
        if file is not None or not sys.stdin.isatty():
            return sys.stdin.read()
    except (OSError, UnicodeDecodeError) as error:
        raise InterfaceError(f"cannot read what to run: {error}") from error
    return None


def _converse(shell: Shell) -> None:
    from lakehold.cli.prompt import converse

    shell.messages.print(f"connected to {shell.connection.url}; \\? for help", style="dim")
    converse(shell, client_environment().config_folder / "history")
