"""A cursor over the tokens of a statement, with which the grammar's rules are written."""

from __future__ import annotations

import re
from typing import NoReturn

from lakehold.engines.duckdb import Token
from lakehold.errors import SyntaxInvalid
from lakehold.query.statements import Path

_OPEN, _CLOSE = "([{", ")]}"
_WORD = re.compile(r"[^\W\d][\w$]*\Z")


class Cursor:
    """Reads tokens one after another; raises ``SyntaxInvalid`` at the place that does not fit."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        while tokens and tokens[-1].text == ";":
            tokens = tokens[:-1]
        self.tokens = tokens
        self.at = 0

    # --- looking ---

    def word(self, ahead: int = 0) -> str:
        """The token ahead in upper case; empty at the end and for quoted names and strings."""
        place = self.at + ahead
        if place >= len(self.tokens):
            return ""
        text = self.tokens[place].text
        return "" if text[:1] in "\"'" else text.upper()

    def looks_at(self, *words: str) -> bool:
        """Whether the next tokens are these words."""
        return all(self.word(number) == word for number, word in enumerate(words))

    @property
    def ended(self) -> bool:
        return self.at >= len(self.tokens)

    # --- taking ---

    def take(self, *words: str) -> bool:
        """Step over these words if they come next."""
        if self.looks_at(*words):
            self.at += len(words)
            return True
        return False

    def take_one(self, *choices: str) -> str:
        """Step over one of several words; empty if none comes next."""
        for choice in choices:
            if self.take(*choice.split()):
                return choice
        return ""

    def expect(self, *words: str) -> None:
        """Step over these words.

        Raises:
            SyntaxInvalid: if they do not come next.
        """
        if not self.take(*words):
            self.fail(f"expected {' '.join(words)}")

    def name(self, what: str = "name") -> str:
        """One identifier, unquoted."""
        if self.ended:
            self.fail(f"expected a {what}")
        token = self.tokens[self.at]
        if token.text.startswith('"') and token.text.endswith('"') and len(token.text) > 1:
            self.at += 1
            return token.text[1:-1].replace('""', '"')
        if _WORD.match(token.text):
            self.at += 1
            return token.text
        raise self.error(f"expected a {what}")

    def path(self, what: str = "name") -> Path:
        """A dotted name."""
        parts = [self.name(what)]
        while self.take("."):
            parts.append(self.name(what))
        return tuple(parts)

    def string(self, what: str = "text in quotes") -> str:
        """A string constant."""
        if not self.ended:
            token = self.tokens[self.at].text
            if token.startswith("'") and token.endswith("'") and len(token) > 1:
                self.at += 1
                return token[1:-1].replace("''", "'")
        raise self.error(f"expected {what}")

    def names(self, what: str = "column") -> tuple[str, ...]:
        """``(a, b, c)``."""
        self.expect("(")
        found = [self.name(what)]
        while self.take(","):
            found.append(self.name(what))
        self.expect(")")
        return tuple(found)

    def until(self, *stops: str) -> str:
        """The text up to one of these words outside of brackets, or to the end.

        A stop of several words is written with blanks. ``FROM`` after ``DISTINCT`` is no stop
        (``IS DISTINCT FROM``), nor is a word after a dot, nor one inside of CASE … END.
        """
        begin, depth, cases = self.at, 0, 0
        while not self.ended:
            word = self.word()
            if depth == 0 and cases == 0 and self.at >= begin:
                after_dot = self.at > 0 and self.tokens[self.at - 1].text == "."
                distinct = self.at > 0 and self.tokens[self.at - 1].text.upper() == "DISTINCT"
                if not after_dot and any(self.looks_at(*stop.split()) for stop in stops):
                    if not (word == "FROM" and distinct):
                        break
            if word and word in _OPEN:
                depth += 1
            elif word and word in _CLOSE:
                if depth == 0:
                    break
                depth -= 1
            elif word == "CASE":
                cases += 1
            elif word == "END" and cases:
                cases -= 1
            self.at += 1
        return self.slice(begin, self.at)

    def expression(self, what: str, *stops: str) -> str:
        """Like ``until``, but not empty."""
        found = self.until(*stops)
        if not found:
            self.fail(f"expected {what}")
        return found

    def bracketed(self) -> tuple[str, ...]:
        """``(x, f(y, z))`` as the texts of its items."""
        self.expect("(")
        items = [self.expression("an expression", ",")]
        while self.take(","):
            items.append(self.expression("an expression", ","))
        self.expect(")")
        return tuple(items)

    def rest(self) -> str:
        """The text from here to the end."""
        begin = self.at
        self.at = len(self.tokens)
        return self.slice(begin, self.at)

    def slice(self, begin: int, end: int) -> str:
        """The user's own text of tokens ``begin`` to ``end`` (exclusive)."""
        if begin >= end:
            return ""
        return self.text[self.tokens[begin].start : self.tokens[end - 1].end]

    def finish(self) -> None:
        """Nothing may follow.

        Raises:
            SyntaxInvalid: at what does.
        """
        if not self.ended:
            self.fail("the statement should end here")

    def fail(self, message: str) -> NoReturn:
        """Raise ``SyntaxInvalid`` at the present token."""
        raise self.error(message)

    def error(self, message: str) -> SyntaxInvalid:
        """``SyntaxInvalid`` at the present token."""
        if self.ended:
            return SyntaxInvalid(
                f"{message} at the end of the statement", position=len(self.text) + 1
            )
        token = self.tokens[self.at]
        return SyntaxInvalid(f'{message} at "{token.text}"', position=token.start + 1)
