"""PARTITIONED BY and SORTED BY, read and written."""

from __future__ import annotations

import pytest

from lakehold.catalog.metadata import (
    new_table_metadata,
    partition_spec,
    partition_texts,
    sort_order,
    sort_texts,
)
from lakehold.errors import InvalidDefinition
from tests.catalog.metadata.tables import NOW_MS, PLACE, UUID, column, list_of, struct

SCHEMA = struct(
    column(1, "id"),
    column(2, "ts", "timestamp"),
    column(3, "Name", "string"),
    column(4, "a b", "date"),
    column(5, "place", struct(column(6, "city", "string"))),
    column(7, "tags", list_of(8, "string")),
    column(9, "day", "date"),
    column(10, "price", "double"),
    column(11, "ts_month", "int"),
)


@pytest.mark.parametrize(
    ("text", "source", "transform", "name"),
    [
        ("id", 1, "identity", "id"),
        ("identity(id)", 1, "identity", "id"),
        ("name", 3, "identity", "Name"),
        ('"a b"', 4, "identity", "a b"),
        ("day", 9, "identity", "day"),
        ("day(day)", 9, "day", "day_day"),
        ("year(ts)", 2, "year", "ts_year"),
        ("years(TS)", 2, "year", "ts_year"),
        ("month(ts)", 2, "month", "ts_month_2"),
        ("DAYS( ts )", 2, "day", "ts_day"),
        ("hours(ts)", 2, "hour", "ts_hour"),
        ("date_hour(ts)", 2, "hour", "ts_hour"),
        ("bucket(16, id)", 1, "bucket[16]", "id_bucket_16"),
        ("bucket(id, 16)", 1, "bucket[16]", "id_bucket_16"),
        ("truncate(4, name)", 3, "truncate[4]", "Name_trunc_4"),
        ("trunc(4,name)", 3, "truncate[4]", "Name_trunc_4"),
        ('day("a b")', 4, "day", "a b_day"),
        ("place.city", 6, "identity", "place_city"),
        ('bucket(2, "place"."CITY")', 6, "bucket[2]", "place_city_bucket_2"),
    ],
)
def test_a_partition_text_is_a_transform_of_a_column(
    text: str, source: int, transform: str, name: str
) -> None:
    spec = partition_spec([text], SCHEMA)
    assert spec == {
        "spec-id": 0,
        "fields": [{"source-id": source, "transform": transform, "name": name}],
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("nothing", 'no column "nothing" to partition by'),
        ("day(id)", '"id", long, cannot partition or sort by day'),
        ("hour(day)", "by hour"),
        ("truncate(4, ts)", "by truncate"),
        ("bucket(4, price)", "by bucket"),
        ("bucket(0, id)", "width is between"),
        ("bucket(99999999999, id)", "width is between"),
        ("bucket(id)", "cannot partition by"),
        ("bucket(4)", "cannot partition by"),
        ("bucket(4, 4)", "cannot partition by"),
        ("bucket(4, id, 5)", "cannot partition by"),
        ("hash(id)", "no transform hash"),
        ("void(id)", "no transform void"),
        ("tags", "a list, cannot partition"),
        ("tags.element", "no column"),
        ("place", "a struct, cannot partition"),
        ("id DESC", "cannot partition by id DESC"),
        ("id, ts", "cannot partition by"),
        ("", "cannot partition by nothing"),
        ("day(ts", "cannot partition by"),
        ("'id'", "cannot partition by"),
        ("id; drop table x", "cannot partition by"),
    ],
)
def test_a_partition_text_that_cannot_be_names_what_is_wrong(text: str, why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        partition_spec([text], SCHEMA)


@pytest.mark.parametrize("texts", [["id", "id"], ["day(ts)", "year(ts)"], ["id", "identity(ID)"]])
def test_a_table_is_not_partitioned_by_the_same_twice(texts: list[str]) -> None:
    with pytest.raises(InvalidDefinition, match="already"):
        partition_spec(texts, SCHEMA)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id", (1, "identity", "asc", "nulls-first")),
        ("id asc", (1, "identity", "asc", "nulls-first")),
        ("id DESC", (1, "identity", "desc", "nulls-last")),
        ("id DESC NULLS FIRST", (1, "identity", "desc", "nulls-first")),
        ("id nulls last", (1, "identity", "asc", "nulls-last")),
        ("bucket(4, id) desc", (1, "bucket[4]", "desc", "nulls-last")),
        ("price", (10, "identity", "asc", "nulls-first")),
        ('"a b" DESC', (4, "identity", "desc", "nulls-last")),
    ],
)
def test_a_sort_text_is_a_transform_a_direction_and_a_place_for_nulls(
    text: str, expected: tuple[int, str, str, str]
) -> None:
    order = sort_order([text], SCHEMA)
    [field] = order["fields"]
    assert order["order-id"] == 1
    assert tuple(field.values()) == expected


@pytest.mark.parametrize("text", ["id UP", "id NULLS", "id NULLS DESC", "DESC", "id DESC ASC", ""])
def test_a_sort_text_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(InvalidDefinition):
        sort_order([text], SCHEMA)


def test_nothing_to_partition_or_sort_by_is_empty() -> None:
    assert partition_spec([], SCHEMA) == {"spec-id": 0, "fields": []}
    assert sort_order([], SCHEMA) == {"order-id": 0, "fields": []}


def test_what_is_written_is_read_again() -> None:
    texts = ["bucket(16, id)", 'day("a b")', "truncate(4, place.city)", '"Name"', "hour(ts)"]
    spec = partition_spec(texts, SCHEMA)
    assert partition_texts(spec, SCHEMA) == tuple(texts)
    orders = ["id DESC NULLS LAST", 'truncate(2, "Name") ASC NULLS FIRST']
    order = sort_order(orders, SCHEMA)
    assert sort_texts(order, SCHEMA) == tuple(orders)
    made = new_table_metadata(
        table_uuid=UUID,
        location=PLACE,
        schema=SCHEMA,
        partition_spec=spec,
        sort_order=order,
        properties={},
        now_ms=NOW_MS,
    )
    [schema], [spec], [order] = made["schemas"], made["partition-specs"], made["sort-orders"]
    assert partition_texts(spec, schema) == tuple(texts)
    assert sort_texts(order, schema) == tuple(orders)
