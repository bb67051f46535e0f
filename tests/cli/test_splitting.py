"""Cutting a text into statements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehold.cli.splitting import is_blank, split


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("select 1; select 2;", ["select 1", "select 2"]),
        ("select ';' ; select 2;", ["select ';'", "select 2"]),
        ("select 'it''s;' ;", ["select 'it''s;'"]),
        ('select 1 as "a;b";', ['select 1 as "a;b"']),
        ("select 1 -- a; b\n;", ["select 1 -- a; b"]),
        ("select /* ; /* ; */ ; */ 1;", ["select /* ; /* ; */ ; */ 1"]),
        (
            "select $$ ; $$; select $t$ ; $$ ; $t$;",
            ["select $$ ; $$", "select $t$ ; $$ ; $t$"],
        ),
        (r"select e'\';'; select 2;", [r"select e'\';'", "select 2"]),
        (r"select 'a\'; select 2;", [r"select 'a\'", "select 2"]),
        ("select $1; select $2;", ["select $1", "select $2"]),
        (";;  ; -- nothing\n;", []),
    ],
)
def test_semicolons_inside_of_quotes_and_comments_do_not_end_a_statement(text, statements):
    found = split(text)
    assert list(found.statements) == statements
    assert not found.open
    assert not found.rest.strip()


@pytest.mark.parametrize(
    "text", ["select 'a", 'select "a', "select /* a", "select $$ a", "select e'\\'"]
)
def test_an_open_quote_or_comment_waits_for_more(text):
    found = split(text + "; ")
    assert found.open
    assert not found.statements


def test_a_statement_without_its_semicolon_is_the_rest():
    assert split("select 1; select 2").rest.strip() == "select 2"


def test_comments_alone_are_blank():
    assert is_blank(" -- a\n /* b */ ")
    assert not is_blank("-- a\n 1")


@given(st.text(alphabet="ab;'\"$-/*\n e\\", max_size=40))
def test_nothing_is_lost_or_invented(text):
    found = split(text)
    kept = "".join(found.statements) + found.rest
    assert set("ab") & set(kept) <= set(text)
    again = split(text + ";") if not found.open else found
    assert again.open == found.open
