"""What a record holds, and its canonical form."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from audit.statements import OK, begin
from lakehold.audit.chain import START, extend, hash_of
from lakehold.audit.record import (
    STATEMENT_BYTES_MAX,
    canonical,
    clean,
    cut,
    moment,
    outcome_fields,
    parse,
    start_fields,
)

KEY = b"k" * 32
ANYTHING = st.text(st.characters(), max_size=200)


def entry(**changes: object) -> dict[str, object]:
    rest = {"instance": "test-1", "recorded_at": moment(datetime.now(UTC))}
    return start_fields(begin(**changes)) | outcome_fields(OK) | rest


@given(ANYTHING, ANYTHING)
def test_any_text_survives_the_canonical_form(statement: str, purpose: str) -> None:
    links, _ = extend(KEY, START, [entry(statement=statement, purpose=purpose)])
    record = parse(links[0].record)
    assert record.statement == clean(statement)
    assert record.purpose == clean(purpose)
    assert "\0" not in links[0].record


@given(st.text(max_size=50), st.integers(0, 200))
def test_text_is_cut_between_characters(text: str, length: int) -> None:
    shorter = cut(text.encode(), length)
    assert text.startswith(shorter)
    assert length - 4 < len(shorter.encode()) <= length or shorter == text


def test_canonical_form_is_stable_under_reading_and_writing() -> None:
    links, _ = extend(KEY, START, [entry()])
    assert canonical(parse(links[0].record)) == links[0].record.encode()
    told = json.loads(links[0].record)
    assert list(told) == sorted(told)


def test_long_statement_is_cut_with_length_and_digest_of_the_whole() -> None:
    statement = "SELECT '" + "ä" * 100_000 + "'"
    fields = start_fields(begin(statement=statement))
    assert len(fields["statement"].encode()) <= STATEMENT_BYTES_MAX
    assert statement.startswith(fields["statement"])
    assert fields["statement_bytes"] == len(statement.encode())
    assert fields["statement_sha256"] == hashlib.sha256(statement.encode()).hexdigest()


def test_moments_are_in_utc_with_six_decimals() -> None:
    at = datetime(2026, 1, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=2)))
    assert moment(at) == "2026-01-31T21:59:59.000000+00:00"


def test_key_is_the_same_for_each_try_and_differs_for_a_reused_statement_id() -> None:
    first = begin()
    again = begin(id=first.id, at=first.at, session_id=first.session_id)
    later = begin(id=first.id, at=first.at + timedelta(microseconds=1), session_id=first.session_id)
    assert first.key == again.key
    assert first.key != later.key


def test_each_hash_depends_on_the_one_before() -> None:
    fields = [entry(), entry()]
    links, head = extend(KEY, START, fields)
    assert links[1].previous == links[0].hash
    assert links[1].hash == hash_of(KEY, links[0].hash, links[1].record.encode()) == head.hash
    assert [link.seq for link in links] == [1, 2]
