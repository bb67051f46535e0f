"""Arrow columns as Python and JSON values."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal
from uuid import UUID

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehold.values import iso_duration, json_values, python_values

_UUID = "6f1f3c0e-7d3a-4a52-a6a0-0e9bb58d0f10"
_UTC = datetime.UTC

CASES = [
    ("170141183460469231731687303715884105727::HUGEINT", "HUGEINT", 2**127 - 1, str(2**127 - 1)),
    (f"'{_UUID}'::UUID", "UUID", UUID(_UUID), _UUID),
    ("INTERVAL 3 DAYS", "INTERVAL", datetime.timedelta(days=3), "P3D"),
    ("INTERVAL '1 month 2 days 3.5 seconds'", "INTERVAL", pa.MonthDayNano([1, 2, 3_500_000_000]),
     "P1M2DT3.5S"),
    ("""'{"a": 1}'::JSON""", "JSON", '{"a": 1}', '{"a": 1}'),
    ("[1, NULL]", "INTEGER[]", [1, None], [1, None]),
    ("{'a': 1.50::DECIMAL(4,2)}", "", {"a": Decimal("1.50")}, {"a": "1.50"}),
    ("MAP {'k': 1}", "", {"k": 1}, {"k": 1}),
    ("MAP {1: 2}", "", {1: 2}, [[1, 2]]),
    ("'x'::ENUM('x', 'y')", "", "x", "x"),
    ("TIMESTAMP '2020-01-02 03:04:05.5'", "", datetime.datetime(2020, 1, 2, 3, 4, 5, 500_000),
     "2020-01-02T03:04:05.5"),
    ("TIMESTAMPTZ '2020-01-02 03:04:05+00'", "", datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=_UTC),
     "2020-01-02T03:04:05Z"),
    ("DATE '2020-01-02'", "", datetime.date(2020, 1, 2), "2020-01-02"),
    ("TIME '10:00:00.25'", "", datetime.time(10, 0, 0, 250_000), "10:00:00.25"),
    ("'\\x00\\xFF'::BLOB", "", b"\x00\xff", "AP8="),
    ("0.0000000100::DECIMAL(20,10)", "", Decimal("0.0000000100"), "0.0000000100"),
    ("'infinity'::TIMESTAMP", "", "infinity", "infinity"),
    ("'Infinity'::DOUBLE", "", math.inf, "Infinity"),
    ("array_value(1, 2)", "", [1, 2], [1, 2]),
    ("[[1], NULL, []]", "", [[1], None, []], [[1], None, []]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "sql_type", "python", "json"), CASES)
@pytest.mark.parametrize("lossless", [False, True])
def test_every_type_becomes_the_documented_value(expression, sql_type, python, json, lossless):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET arrow_lossless_conversion = {lossless}")
    table = connection.execute(f"SELECT {expression} AS v UNION ALL SELECT NULL").to_arrow_table()
    column = table.combine_chunks().column("v").chunk(0)
    assert python_values(column, sql_type) == [python, None]
    assert json_values(column, sql_type) in ([json, None], [UUID(_UUID), None])
    assert python_values(column.slice(1), sql_type) == [None]
    msgspec.json.encode(json_values(column, sql_type))


def test_nan_is_a_text_in_json():
    assert json_values(pa.array([float("nan"), 1.5, None])) == ["NaN", 1.5, None]


def test_a_moment_beyond_python_is_its_text():
    column = pa.array([2**61], pa.timestamp("us"))
    assert python_values(column) == json_values(column)


@given(st.lists(st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3), max_size=8),
       st.integers(0, 8))  # fmt: skip
def test_slices_of_lists_keep_their_rows(rows, start):
    column = pa.array(rows, pa.list_(pa.int64()))
    assert python_values(column.slice(start)) == rows[start:]


@given(st.lists(st.none() | st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.none() | st.text("abé", max_size=3)}),
                max_size=8), st.integers(0, 8))  # fmt: skip
def test_slices_of_structs_keep_their_rows(rows, start):
    column = pa.array(rows, pa.struct([("a", pa.int64()), ("b", pa.string())]))
    assert python_values(column.slice(start)) == rows[start:]


@pytest.mark.parametrize(
    ("months", "days", "nanoseconds", "text"),
    [
        (0, 0, 0, "PT0S"),
        (14, -3, 0, "P14M-3D"),
        (0, 0, -90_500_000_000, "PT-1M-30.5S"),
        (0, 0, 3_600_000_000_000, "PT1H"),
    ],
)
def test_an_interval_is_an_iso_duration(months, days, nanoseconds, text):
    assert iso_duration(pa.MonthDayNano([months, days, nanoseconds])) == text
