"""Cutting a text into SQL statements, as far as strings, comments and dollar quotes go. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKENS = re.compile(
    r"""
    (?P<line_comment>--[^\n]*)
  | (?P<block_comment>/\*)
  | (?P<escape_string>(?<![A-Za-z0-9_])[eE]'(?:[^'\\]|\\.|'')*(?P<escape_end>'?))
  | (?P<string>'(?:[^']|'')*(?P<string_end>'?))
  | (?P<name>"(?:[^"]|"")*(?P<name_end>"?))
  | (?P<dollar>(?<![A-Za-z0-9_$])\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)
  | (?P<end>;)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Split:
    """Statements without their semicolons, and what is left after the last one.

    Attributes:
        rest: text that no semicolon ends yet; blank if there is none.
        open: whether ``rest`` ends inside of a string, name, comment or dollar quote.
    """

    statements: tuple[str, ...]
    rest: str
    open: bool


def split(text: str) -> Split:
    """Cut ``text`` at its semicolons."""
    statements: list[str] = []
    start = position = 0
    still_open = False
    while (match := _TOKENS.search(text, position)) is not None:
        position = match.end()
        kind = match.lastgroup
        if match["end"] is not None:
            statement = text[start : match.start()].strip()
            if not is_blank(statement):
                statements.append(statement)
            start = position
        elif match["block_comment"] is not None:
            position, still_open = _after_comment(text, position)
        elif match["dollar"] is not None:
            close = text.find(match["dollar"], position)
            still_open = close < 0
            position = len(text) if still_open else close + len(match["dollar"])
        else:
            ends = [match[name] for name in ("escape_end", "string_end", "name_end")]
            still_open = kind != "line_comment" and "" in ends
        if still_open:
            break
    rest = text[start:]
    return Split(tuple(statements), "" if is_blank(rest) and not still_open else rest, still_open)


def is_blank(text: str) -> bool:
    """Whether there is nothing but white space and comments."""
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
        elif text.startswith("--", position):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end + 1
        elif text.startswith("/*", position):
            position, _ = _after_comment(text, position + 2)
        else:
            return False
    return True


def _after_comment(text: str, position: int) -> tuple[int, bool]:
    """The position after a block comment, which may hold others; and whether it is open."""
    depth = 1
    for match in re.compile(r"/\*|\*/").finditer(text, position):
        depth += 1 if match[0] == "/*" else -1
        if depth == 0:
            return match.end(), False
    return len(text), True
