"""DuckDB's own parser as a library: text to tree and back.

A SELECT is parsed by the very parser that will parse what runs, so that there is no second
opinion to exploit. The tree is the JSON of ``json_serialize_sql`` (DuckDB: "JSON SQL
serialization"), with byte offsets into the text as ``query_location``.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec

from lakehold.errors import StatementNotSupported, SyntaxInvalid

Tree = dict[str, Any]

NO_LOCATION = 18446744073709551615
"""The ``query_location`` of a node that has none (2**64 - 1)."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token of DuckDB's lexer.

    Attributes:
        text: the token itself, without the blanks and comments after it.
        kind: ``identifier``, ``keyword``, ``operator``, ``string_const`` or ``numeric_const``.
        start: where it begins in the text, in characters.
        end: where it ends, exclusive.
    """

    text: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StatementText:
    """One statement of a text.

    Attributes:
        kind: DuckDB's statement type: ``SELECT``, ``INSERT``, ``CREATE`` …
        text: the statement's own text.
        parameters: names of its parameters; positional ones are ``"1"``, ``"2"`` …
    """

    kind: str
    text: str
    parameters: frozenset[str]


class DuckDBParser:
    """Parses with an in-memory DuckDB of its own that holds no data and can reach nothing."""

    def __init__(self) -> None:
        self._database = duckdb.connect(
            ":memory:",
            config={
                "threads": 1,
                "enable_external_access": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
                "lock_configuration": "true",
            },
        )
        self._local = threading.local()
        self._lock = threading.Lock()
        self._cursors: list[duckdb.DuckDBPyConnection] = []

    def close(self) -> None:
        with self._lock:
            for cursor in self._cursors:
                cursor.close()
            self._cursors.clear()
        self._database.close()

    def statements(self, text: str) -> list[StatementText]:
        """Split a text into its statements.

        Raises:
            SyntaxInvalid: with the position of the first token that does not fit.
        """
        try:
            found = self._cursor().extract_statements(text)
        except duckdb.ParserException as error:
            raise syntax_error(str(error), text) from None
        except duckdb.Error:  # the parser itself runs a few, such as IMPORT DATABASE
            raise StatementNotSupported("this statement is not supported") from None
        return [
            StatementText(str(item.type.name), item.query.strip(), frozenset(item.named_parameters))
            for item in found
        ]

    def tokens(self, text: str) -> list[Token]:
        """The tokens of a text, by DuckDB's own lexer."""
        data = text.encode()
        found = duckdb.tokenize(text)
        tokens: list[Token] = []
        at = 0
        for number, (offset, kind) in enumerate(found):
            end = found[number + 1][0] if number + 1 < len(found) else len(data)
            chunk = data[offset:end].decode(errors="replace")
            own = _own_text(chunk)
            tokens.append(Token(own, str(kind).rpartition(".")[2], at, at + len(own)))
            if number == 0 and offset:
                lead = len(data[:offset].decode(errors="replace"))
                tokens[0] = Token(own, tokens[0].kind, lead, lead + len(own))
                at = lead
            at += len(chunk)
        return tokens

    def tree(self, text: str) -> Tree:
        """Parse one SELECT (or VALUES, FROM, TABLE, DESCRIBE, SUMMARIZE) into its tree.

        Raises:
            SyntaxInvalid: if it cannot be parsed.
            StatementNotSupported: if it is not exactly one query.
        """
        parsed = self._serialize(text)
        statements = parsed["statements"]
        if len(statements) != 1:
            raise StatementNotSupported(
                f"one statement at a time: this text holds {len(statements)}"
            )
        tree: Tree = statements[0]
        return tree

    def text(self, tree: Tree) -> str:
        """Write a tree of ``tree`` back as SQL."""
        self._keep_doubles(tree)
        document = msgspec.json.encode({"error": False, "statements": [tree]}).decode()
        try:
            row = (
                self._cursor()
                .execute("SELECT json_deserialize_sql(CAST(? AS JSON))", [document])
                .fetchone()
            )
        except duckdb.Error as error:
            raise StatementNotSupported(
                "this form of query cannot be rewritten safely", hint=_first_line(str(error))
            ) from None
        assert row is not None
        return str(row[0])

    def _keep_doubles(self, tree: Tree) -> None:
        """``1e3`` is a DOUBLE and is written back as ``1000.0``, which is a DECIMAL: cast it."""
        stack: list[Any] = [tree]
        while stack:
            item = stack.pop()
            if isinstance(item, list):
                stack.extend(item)
            elif isinstance(item, dict):
                value = item.get("value")
                if item.get("class") == "CONSTANT" and isinstance(value, dict):
                    if value["type"]["id"] == "DOUBLE" and isinstance(value.get("value"), float):
                        cast = self._serialize(f"SELECT CAST('{value['value']!r}' AS DOUBLE)")
                        new = cast["statements"][0]["node"]["select_list"][0]
                        item |= {**new, "alias": item["alias"]}
                        del item["value"]
                else:
                    stack.extend(item.values())

    def _serialize(self, text: str) -> Tree:
        try:
            row = self._cursor().execute("SELECT json_serialize_sql(?)", [text]).fetchone()
        except duckdb.Error as error:
            raise syntax_error(str(error), text) from None
        assert row is not None
        try:
            parsed: Tree = msgspec.json.decode(row[0])
        except msgspec.DecodeError:
            raise SyntaxInvalid("a number is out of range") from None
        if not parsed["error"]:
            return parsed
        message = str(parsed.get("error_message", "the statement cannot be parsed"))
        if parsed.get("error_type") == "parser":
            position = parsed.get("position")
            raise SyntaxInvalid(
                message,
                position=character_position(text, int(position)) if position else None,
            )
        raise StatementNotSupported("only a query can stand here", hint=message)

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = getattr(self._local, "cursor", None)
        if cursor is None:
            with self._lock:
                cursor = self._database.cursor()
                self._cursors.append(cursor)
            self._local.cursor = cursor
        return cursor


_QUOTED = re.compile(
    r"""
      "(?:[^"]|"")*" | [eE]'(?:[^'\\]|\\.|'')*' | [xXbB]?'(?:[^']|'')*'
    | \$(\w*)\$.*?\$\1\$
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"[\w$]+(?:\.[\w]*)?|::|->>?|[^\s\w]+?(?=\s|--|/\*|$)", re.DOTALL)


def _own_text(chunk: str) -> str:
    """A token without what follows it: the lexer leaves blanks and comments to the token before."""
    quoted = _QUOTED.match(chunk)
    if quoted:
        return quoted[0]
    word = _WORD.match(chunk)
    return word[0] if word else chunk.strip()


_LINE = re.compile(r"\n\s*LINE (\d+): (.*)\n( *)\^", re.DOTALL)


def syntax_error(message: str, text: str) -> SyntaxInvalid:
    """DuckDB's parser error as ours, with the 1-based position taken from its caret."""
    short = _first_line(message).removeprefix("Parser Error: ").strip()
    return SyntaxInvalid(short or "the statement cannot be parsed", position=_caret(message, text))


def _caret(message: str, text: str) -> int | None:
    """The position that ``LINE n: …`` and the caret below it point to."""
    found = _LINE.search(message)
    if found is None:
        return None
    number, shown, blanks = int(found[1]), found[2], len(found[3])
    lines = text.split("\n")
    if number > len(lines):
        return None
    column = blanks - len(f"LINE {number}: ")
    line = lines[number - 1]
    if shown.startswith("..."):
        start = line.find(shown.strip(".").strip())
        column = column - 3 + max(start, 0)
    before = sum(len(part) + 1 for part in lines[: number - 1])
    return before + min(max(column, 0), len(line)) + 1


def character_position(text: str, offset: int) -> int:
    """The 1-based character position of a byte offset into the UTF-8 of ``text``."""
    return len(text.encode()[:offset].decode(errors="ignore")) + 1


def _first_line(message: str) -> str:
    return message.split("\n", 1)[0]
