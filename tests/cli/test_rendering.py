"""Results in the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehold.cli.rendering import (
    Rows,
    caret,
    format_for,
    render_expanded,
    render_markdown,
    render_table,
)
from lakehold.client import InterfaceError

ROWS = Rows(
    ("id", "name"),
    ("BIGINT", "VARCHAR"),
    [("1", "a|b"), ("20", None), ("3", "")],
    False,
)


def test_numbers_stand_at_the_right_and_null_differs_from_an_empty_text():
    lines = render_table(ROWS, styled=False).splitlines()
    assert lines[3] == "│  1 │ a|b  │"
    assert lines[4] == "│ 20 │ NULL │"
    assert lines[5] == "│  3 │      │"


def test_markdown_escapes_bars():
    assert "| 1 | a\\|b |" in render_markdown(ROWS)


def test_expanded_shows_one_column_a_line():
    assert "id   │ 20\nname │ NULL\n" in render_expanded(ROWS)


def test_data_cannot_steer_the_terminal():
    rows = Rows(("a",), ("VARCHAR",), [("\x1b[31mred\x07\nnext",)], False)
    for text in (
        render_table(rows, styled=True),
        render_expanded(rows),
        render_markdown(rows),
    ):
        assert "\x1b[31mred" not in text
        assert "\x07" not in text


def test_the_caret_stands_below_the_position():
    sql = "select a,\n  nope\nfrom t"
    assert list(caret(sql, sql.index("nope") + 1)) == ["LINE 2:   nope", "          ^"]
    assert list(caret(sql, None)) == []
    assert list(caret(sql, 999)) == []


def test_a_suffix_that_names_no_format_is_an_error():
    assert format_for(Path("x.parquet")) == "parquet"
    with pytest.raises(InterfaceError):
        format_for(Path("x.docx"))
