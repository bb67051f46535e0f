"""What ``lakehold sql`` does with a statement or a backslash command, with or without a prompt."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self
from uuid import UUID, uuid4

from rich.console import Console

from lakehold.cli.rendering import (
    FORMATS,
    Format,
    caret,
    format_for,
    media_for,
    open_output,
    print_rows,
    read_rows,
    write_result,
)
from lakehold.cli.splitting import split
from lakehold.client import Connection, Error, InterfaceError, Statement

ROWS_SHOWN_MAX = 1_000
PROGRESS_AFTER_S = 0.7
PROGRESS_EVERY_S = 0.5
_DEFINING = ("CREATE", "DROP", "ALTER", "USE", "COMMENT")

HELP = """\
\\d [NAME]     tables and views, or the columns of one     \\dn  schemas     \\dv  views
\\x            one column a line, on or off                \\timing  timing, on or off
\\o [FILE]     send results to a file, or back             \\i FILE  run a file
\\format NAME  table, csv, json, ndjson, markdown, …       \\limit N  rows shown (0: all)
\\e            write the statement in an editor            \\conninfo  where this is
\\?            this                                        \\q  leave (also Ctrl-D)
A statement ends with ';'. Ctrl-C cancels it on the server and keeps the session.
"""


class Leave(Exception):
    """The user wants to leave."""


@dataclass
class Settings:
    """What can be switched while the shell runs.

    Attributes:
        rows_max: rows shown of a result in table form; ``None`` for all.
        interactive: whether a person looks at the output.
    """

    form: Format = "table"
    expanded: bool = False
    timing: bool = False
    rows_max: int | None = ROWS_SHOWN_MAX
    pager: bool = True
    interactive: bool = False
    stop_on_error: bool = False


class Shell:
    """Runs statements of one connection and prints what comes of them."""

    def __init__(
        self, connection: Connection, settings: Settings, *, output: Path | None = None
    ) -> None:
        self.connection = connection
        self.settings = settings
        self.console = Console(highlight=False)
        self.messages = Console(stderr=True, highlight=False)
        self.on_definition: Callable[[], None] = lambda: None
        self.edit: Callable[[str], str | None] = lambda _: None
        self.last_statement = ""
        self._output: Path | None = None
        self._file: IO[bytes] | None = None
        if output is not None:
            self._send_to(output)

    def close(self) -> None:
        """Close the output file."""
        if self._file is not None and self._output is not None:
            self._file.close()

    def run_text(self, text: str) -> bool:
        """Run all statements and backslash commands of a text; tells whether all went well."""
        well = True
        pending = ""
        for line in text.splitlines(keepends=True):
            if not pending.strip() and line.lstrip().startswith("\\"):
                well &= self.command(line.strip())
            else:
                found = split(pending + line)
                for statement in found.statements:
                    well &= self.statement(statement)
                    if not well and self.settings.stop_on_error:
                        return False
                pending = found.rest
            if not well and self.settings.stop_on_error:
                return False
        if pending.strip():
            well &= self.statement(pending.strip())
        return well

    # --- statements -----------------------------------------------------------------------

    def statement(self, sql: str) -> bool:
        """Run one statement and print its result; tells whether it went well."""
        self.last_statement = sql
        statement_id = uuid4()
        started = time.perf_counter()
        try:
            with _Progress(self, statement_id) as progress:
                opened = self.connection.stream(
                    sql, media=media_for(self.settings.form), statement_id=statement_id
                )
                with opened as statement:
                    self._print(statement, started, progress)
        except KeyboardInterrupt:
            with suppress(Error):
                self.connection.cancel(statement_id)
            self.messages.print("\ncancelled", style="yellow")
            return False
        except Error as error:
            self.show_error(error, sql)
            return False
        except BrokenPipeError:
            raise Leave from None
        if sql.lstrip()[:8].upper().startswith(_DEFINING):
            self.on_definition()
        return True

    def _print(self, statement: Statement, started: float, progress: _Progress) -> None:
        settings = self.settings
        if self._file is not None or settings.form not in {"table", "expanded"}:
            if self._file is None:
                progress.stop()
            target = self._file or sys.stdout.buffer
            write_result(statement, settings.form, target)
            target.flush()
            self._print_time(started)
            return
        limit = settings.rows_max if settings.interactive else None
        rows = read_rows(statement, limit)
        progress.stop()
        if not rows.names:
            self._say(_count_line(statement))
            self._print_time(started)
            return
        expanded = settings.expanded or settings.form == "expanded"
        print_rows(
            self.console,
            rows,
            expanded=expanded,
            pager=settings.pager and settings.interactive,
        )
        count = len(rows.rows)
        unit = "row" if count == 1 else "rows"
        shown = f"(the first {count:,} rows; \\limit changes that)" if rows.more else ""
        self._say(shown or f"({count:,} {unit})")
        self._print_time(started)

    def _say(self, text: str) -> None:
        if text:
            self.console.print(text, style="dim", markup=False)

    def _print_time(self, started: float) -> None:
        if self.settings.timing:
            elapsed_ms = (time.perf_counter() - started) * 1000
            self.messages.print(f"time: {elapsed_ms:,.1f} ms", style="dim")

    def show_error(self, error: Error, sql: str = "") -> None:
        """Print an error with the place in the statement that it points at."""
        state = f" [{error.sqlstate}]" if error.sqlstate else ""
        self.messages.print(f"error{state}: ", style="bold red", end="")
        self.messages.print(error.message, markup=False)
        for line in caret(sql, error.position):
            self.messages.print(line, markup=False, no_wrap=True, crop=False, overflow="ignore")
        if error.hint:
            self.messages.print(f"hint: {error.hint}", style="dim", markup=False)

    # --- backslash commands -----------------------------------------------------------------

    def command(self, text: str) -> bool:
        """Run a backslash command; tells whether it went well."""
        try:
            text = text.rstrip(";")
            name, *arguments = shlex.split(text) if "'" in text else text.split()
            return self._command(name, arguments)
        except (InterfaceError, OSError, ValueError) as error:
            self.messages.print(f"error: {error}", style="red", markup=False)
            return False

    def _command(self, name: str, arguments: list[str]) -> bool:
        argument = arguments[0] if arguments else ""
        settings = self.settings
        name = name.replace("+", "")
        if name in {"\\q", "\\quit"}:
            raise Leave
        if name in {"\\?", "\\h", "\\help"}:
            self.console.print(HELP, markup=False)
        elif name in {"\\x", "\\timing"}:
            attribute = {"\\x": "expanded", "\\timing": "timing"}[name]
            value = {"on": True, "off": False}.get(argument, not getattr(settings, attribute))
            setattr(settings, attribute, value)
            self.messages.print(f"{attribute} is {'on' if value else 'off'}")
        elif name in {"\\format", "\\a"}:
            if argument not in FORMATS:
                raise InterfaceError("there are " + ", ".join(FORMATS))
            settings.form = argument
        elif name == "\\limit":
            settings.rows_max = int(argument) or None
        elif name == "\\o":
            self._send_to(Path(argument) if argument else None)
        elif name == "\\i":
            return self.run_text(Path(argument).read_text(encoding="utf-8"))
        elif name == "\\e":
            edited = self.edit(self.last_statement)
            return self.run_text(edited) if edited and edited.strip() else True
        elif name == "\\conninfo":
            self._connection_information()
        elif name in _CATALOG:
            return self.statement(_CATALOG[name] if not argument else _described(name, argument))
        else:
            raise InterfaceError(f"there is no command {name}; \\? lists them")
        return True

    def _connection_information(self) -> None:
        state = "in a transaction" if self.connection.in_transaction else "no transaction"
        self.console.print(f"{self.connection.url}, session {self.connection.session_id}, {state}")

    def _send_to(self, path: Path | None) -> None:
        self.close()
        self._output, self._file = path, None
        if path is None:
            self.settings.form = "table"
            return
        if self.settings.form == "table":
            self.settings.form = format_for(path)
        self._file = open_output(path)


_TABLES = (
    'SELECT table_schema AS "schema", table_name AS name, lower(table_type) AS kind '
    "FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'lakehold') "
)
_CATALOG = {
    "\\d": _TABLES + "ORDER BY ALL",
    "\\dt": _TABLES + "AND table_type <> 'VIEW' ORDER BY ALL",
    "\\dv": _TABLES + "AND table_type = 'VIEW' ORDER BY ALL",
    "\\dn": 'SELECT schema_name AS "schema" FROM information_schema.schemata ORDER BY ALL',
    "\\l": "SELECT DISTINCT catalog_name AS lake FROM information_schema.schemata",
}


def _described(name: str, argument: str) -> str:
    if name != "\\d":
        raise InterfaceError(f"{name} takes no name")
    return f"DESCRIBE {argument}"


def _count_line(statement: Statement) -> str:
    if statement.affected is None:
        return statement.kind
    unit = "row" if statement.affected == 1 else "rows"
    return f"{statement.kind}: {statement.affected:,} {unit}"


class _Progress:
    """Shows that a long statement runs, for how long, and how far it is."""

    def __init__(self, shell: Shell, statement_id: UUID) -> None:
        self._shell = shell
        self._id = statement_id
        self._over = threading.Event()
        watched = shell.settings.interactive and shell.messages.is_terminal
        self._thread = threading.Thread(target=self._watch, daemon=True) if watched else None

    def __enter__(self) -> Self:
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Take it from the screen. Idempotent."""
        self._over.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join(2.0)

    def _watch(self) -> None:
        if self._over.wait(PROGRESS_AFTER_S):
            return
        started = time.monotonic() - PROGRESS_AFTER_S
        with self._shell.messages.status("running") as status:
            while not self._over.is_set():
                elapsed_s = time.monotonic() - started
                status.update(f"running, {elapsed_s:.0f} s{self._share()} (Ctrl-C cancels)")
                self._over.wait(PROGRESS_EVERY_S)

    def _share(self) -> str:
        with suppress(Error):
            state = self._shell.connection.statement(self._id)
            if state.get("rows"):
                return f", {state['rows']:,} rows"
            if state.get("progress"):
                return f", {state['progress']:.0%}"
        return ""
