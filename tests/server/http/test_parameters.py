"""Parameters cross HTTP and come back the same."""

from __future__ import annotations

import datetime
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehold.client.types import write_parameters
from lakehold.errors import InvalidParameter
from lakehold.server.http.parameters import read_parameters

_values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**127), 2**127 - 1)
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.times()
    | st.timedeltas()
    | st.uuids()
)


@given(st.lists(_values | st.lists(_values, max_size=3), max_size=5))
def test_every_value_arrives_as_it_left(values):
    body = msgspec.json.encode(write_parameters(values))
    assert read_parameters(msgspec.json.decode(body)) == values


def test_named_parameters_arrive_by_name():
    assert read_parameters({"a": 1, "b": {"type": "DECIMAL", "value": "1.50"}}) == {
        "a": 1,
        "b": Decimal("1.50"),
    }


@pytest.mark.parametrize(
    "value",
    [
        {"type": "DATE", "value": "2026-02-31"},
        {"type": "DATE", "value": 5},
        {"type": "NOPE", "value": 1},
        {"type": "DECIMAL", "value": "NaN"},
        {"type": "BLOB", "value": "***"},
        {"type": "INTEGER", "value": True},
        {"type": "UUID", "value": "x"},
        {"type": "INTERVAL", "value": {"fortnights": 1}},
        2**200,
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused(value):
    with pytest.raises(InvalidParameter, match="number 1"):
        read_parameters([value])
