"""The prompt of ``lakehold sql``: history, colours, completion, several lines to a statement."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import (
    CompleteEvent,
    Completer,
    Completion,
    ThreadedCompleter,
)
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import PostgresLexer

from lakehold.cli.shell import Leave, Shell
from lakehold.cli.splitting import split
from lakehold.client import Connection, Error
from lakehold.names import show

_KEYWORDS = [
    "ALTER",
    "AND",
    "AS",
    "ASC",
    "AT",
    "BEGIN",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COLUMN",
    "COMMENT",
    "COMMIT",
    "COUNT",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "DROP",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FILTER",
    "FROM",
    "FULL",
    "GRANT",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTERSECT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MERGE",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OVER",
    "PARTITION",
    "PARTITIONED",
    "PIVOT",
    "QUALIFY",
    "RENAME",
    "REPLACE",
    "REVOKE",
    "RIGHT",
    "ROLE",
    "ROLLBACK",
    "SCHEMA",
    "SELECT",
    "SET",
    "SHOW",
    "SORTED",
    "SUM",
    "TABLE",
    "THEN",
    "TIMESTAMP",
    "TO",
    "TRUNCATE",
    "UNION",
    "UPDATE",
    "USE",
    "USING",
    "VALUES",
    "VERSION",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
]
COMMANDS = (
    *(
        "\\?",
        "\\conninfo",
        "\\d",
        "\\dn",
        "\\dt",
        "\\dv",
        "\\e",
        "\\format",
        "\\i",
        "\\l",
    ),
    *("\\limit", "\\o", "\\q", "\\timing", "\\x"),
)
NAMES_MAX = 50_000
_WORD = re.compile(r'[A-Za-z0-9_"$]+\Z')
_QUALIFIED = re.compile(r'(?:([A-Za-z0-9_"$]+)\.)?([A-Za-z0-9_"$]*)\Z')


class NameCompleter(Completer):
    """Completes keywords and what ``information_schema`` shows, loaded when first needed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._names: dict[str, set[str]] | None = None

    def forget(self) -> None:
        """Load the names anew when they are needed next: a definition has changed."""
        self._names = None

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Completions for the word before the cursor."""
        text = document.text_before_cursor
        if text.startswith("\\") and " " not in text:
            for command in COMMANDS:
                if command.startswith(text):
                    yield Completion(command, start_position=-len(text))
            return
        match = _QUALIFIED.search(text)
        qualifier, word = (match[1] or "", match[2]) if match is not None else ("", "")
        if not word and not qualifier:
            return
        names = self._load()
        key = qualifier.strip('"').lower()
        for name in sorted(names.get(key, ())):
            if name.lower().startswith(word.strip('"').lower()):
                yield Completion(show(name), start_position=-len(word))
        if not qualifier:
            for keyword in _KEYWORDS:
                if keyword.startswith(word.upper()):
                    written = keyword if word[:1].isupper() else keyword.lower()
                    yield Completion(written, start_position=-len(word))

    def _load(self) -> dict[str, set[str]]:
        """Names by what stands before their dot: nothing, a schema, or a table."""
        with self._lock:
            if self._names is None:
                self._names = {}
                with suppress(Error):
                    self._names = self._read()
            return self._names

    def _read(self) -> dict[str, set[str]]:
        names: dict[str, set[str]] = {"": set()}
        # A connection's results may overlap; an open transaction is not disturbed by reading.
        cursor = self._connection.execute(
            "SELECT table_schema, table_name, column_name FROM information_schema.columns "
            f"LIMIT {NAMES_MAX}"
        )
        for schema, table, column in cursor.fetchall():
            names[""].update((schema, table, column))
            names.setdefault(schema.lower(), set()).add(table)
            names.setdefault(table.lower(), set()).add(column)
        return names


def converse(shell: Shell, history: Path) -> None:
    """Read statements from the terminal and run them until the user leaves."""
    completer = NameCompleter(shell.connection)
    shell.on_definition = completer.forget
    session = _session(history, completer)
    shell.edit = lambda text: _edited(session, text)
    while True:
        try:
            text = session.prompt(_prompt(shell))
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.strip():
            shell.run_text(text)


def _edited(session: PromptSession[str], text: str) -> str | None:
    with suppress(KeyboardInterrupt, EOFError):
        return session.prompt("edit> ", default=text)
    return None


def _prompt(shell: Shell) -> str:
    return "lakehold*> " if shell.connection.in_transaction else "lakehold> "


def _session(history: Path, completer: NameCompleter) -> PromptSession[str]:
    bindings = KeyBindings()

    @Condition
    def is_whole() -> bool:
        text = get_app().current_buffer.text
        if text.lstrip().startswith("\\") or not text.strip():
            return True
        found = split(text)
        return bool(found.statements) and not found.rest.strip()

    @bindings.add("enter", filter=is_whole)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return PromptSession(
        history=_history(history),
        lexer=PygmentsLexer(PostgresLexer),
        completer=ThreadedCompleter(completer),
        complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(),
        multiline=True,
        prompt_continuation=lambda width, *_: " " * (width - 3) + "-> ",
        key_bindings=bindings,
        enable_open_in_editor=True,
    )


def _history(path: Path) -> FileHistory | InMemoryHistory:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


__all__ = ["Leave", "NameCompleter", "converse"]
