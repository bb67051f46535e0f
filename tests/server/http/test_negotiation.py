"""Which form an answer takes."""

from __future__ import annotations

import pytest

from lakehold.errors import NotAcceptable
from lakehold.server.http.negotiation import accepts_encoding, negotiate

FORMS = ("application/json", "application/vnd.apache.arrow.stream", "text/csv")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", FORMS[0]),
        ("*/*", FORMS[0]),
        ("text/csv", FORMS[2]),
        ("text/*", FORMS[2]),
        ("text/html, */*;q=0.1", FORMS[0]),
        ("application/json;q=0.5, text/csv;q=0.9", FORMS[2]),
        ("application/json;q=0, */*", FORMS[1]),
        ("APPLICATION/JSON", FORMS[0]),
        ("application/json; charset=utf-8; q=0.2, text/csv; q=0.1", FORMS[0]),
    ],
)
def test_the_most_liked_form_is_chosen(accept, chosen):
    assert negotiate(accept, FORMS) == chosen


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", "text/csv;q=x"])
def test_none_acceptable_is_refused(accept):
    with pytest.raises(NotAcceptable):
        negotiate(accept, FORMS)


def test_an_encoding_is_used_only_if_it_is_asked_for():
    assert accepts_encoding("gzip, zstd;q=0.5", ("zstd", "gzip")) == "gzip"
    assert accepts_encoding("gzip;q=0", ("zstd", "gzip")) is None
    assert accepts_encoding("", ("zstd", "gzip")) is None
