"""Changes of structure that would break those who read a table are refused, saying why."""

from __future__ import annotations

from typing import Any

import pytest

from lakehold.errors import InvalidDefinition
from tests.catalog.metadata.tables import (
    TRIPS,
    Json,
    appended,
    apply,
    column,
    columns,
    evolved,
    list_of,
    struct,
    table,
    to_main,
    with_rows,
)

FIELDS = TRIPS["fields"]
BY_DAY = {"fields": [{"source-id": 2, "transform": "day", "name": "departed_day"}]}
UNPARTITIONED: list[Json] = [
    {"action": "add-spec", "spec": {"fields": []}},
    {"action": "set-default-spec", "spec-id": -1},
]
DETACH = {"action": "remove-snapshot-ref", "ref-name": "main"}


def without(number: int) -> list[Json]:
    return evolved(*(item for item in FIELDS if item["id"] != number))


def changed(number: int, **more: Any) -> list[Json]:
    return evolved(*({**item, **more} if item["id"] == number else item for item in FIELDS))


# --- dropping -----------------------------------------------------------------------------------


def test_a_column_that_nothing_uses_can_be_dropped() -> None:
    made = apply(with_rows(), *without(3))
    assert [item["name"] for item in columns(made)] == ["id", "departed", "fare", "home", "tags"]


def test_a_column_of_the_partitioning_cannot_be_dropped() -> None:
    with pytest.raises(InvalidDefinition, match="the partitioning of the table uses it"):
        apply(table(partition_spec=BY_DAY), *without(2))


def test_a_column_of_a_former_partitioning_cannot_be_dropped() -> None:
    made = apply(table(partition_spec=BY_DAY), *UNPARTITIONED)
    with pytest.raises(InvalidDefinition, match='"departed" cannot be dropped: a former'):
        apply(made, *without(2))


def test_a_column_can_be_dropped_with_the_former_partitioning_that_used_it() -> None:
    made = apply(
        table(partition_spec=BY_DAY),
        *UNPARTITIONED,
        *without(2),
        {"action": "remove-partition-specs", "spec-ids": [0]},
    )
    assert 2 not in [item["id"] for item in columns(made)]


def test_a_nested_column_of_the_partitioning_cannot_be_dropped() -> None:
    spec = {"fields": [{"source-id": 7, "transform": "bucket[4]", "name": "b"}]}
    made = table(partition_spec=spec)
    number = made["partition-specs"][0]["fields"][0]["source-id"]
    empty = [i if i["name"] != "home" else {**i, "type": struct(column(99, "x"))} for i in FIELDS]
    with pytest.raises(InvalidDefinition, match="home.street"):
        apply(made, *evolved(*empty))
    assert number == 7


def test_a_column_of_the_current_order_cannot_be_dropped_but_of_a_former_one() -> None:
    key = {"source-id": 3, "transform": "identity", "direction": "asc", "null-order": "nulls-first"}
    made = table(sort_order={"order-id": 1, "fields": [key]})
    with pytest.raises(InvalidDefinition, match="the sort order of the table uses it"):
        apply(made, *without(3))
    unsorted: list[Json] = [
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
    ]
    assert apply(made, *without(3), *unsorted)["default-sort-order-id"] == 0


# --- types --------------------------------------------------------------------------------------

OF_TYPE = [
    ("int", "long"),
    ("float", "double"),
    ("decimal(9, 2)", "decimal(12, 2)"),
    ("decimal(9,2)", "decimal(9, 2)"),
]
NOT_OF_TYPE = [
    ("long", "int"),
    ("double", "float"),
    ("int", "string"),
    ("string", "int"),
    ("int", "double"),
    ("decimal(9, 2)", "decimal(8, 2)"),
    ("decimal(9, 2)", "decimal(12, 3)"),
    ("timestamp", "timestamptz"),
    ("date", "timestamp"),
    ("string", "binary"),
    ("uuid", "fixed[16]"),
    ("int", struct(column(50, "x"))),
    (struct(column(50, "x")), "int"),
    (struct(column(50, "x")), list_of(51, "int")),
]


def one(kind: Any, **more: Any) -> Json:
    return struct(column(1, "x", kind, **more))


def written(kind: Any, **given: Any) -> Json:
    return apply(table(one(kind), **given), *appended(1, 1, **{"first-row-id": 0, "added-rows": 1}))


@pytest.mark.parametrize(("old", "new"), OF_TYPE)
def test_a_type_can_be_widened(old: str, new: str) -> None:
    made = apply(written(old), *evolved(*one(new)["fields"]))
    assert next(columns(made))["type"] == new


@pytest.mark.parametrize(("old", "new"), NOT_OF_TYPE)
def test_a_type_cannot_change_otherwise(old: Any, new: Any) -> None:
    base = written(old)
    moved = one(new)
    if isinstance(new, dict):
        moved = one({**new, **({"fields": [column(60, "y")]} if "fields" in new else {})})
    with pytest.raises(InvalidDefinition, match="cannot change from"):
        apply(base, *evolved(*moved["fields"]))


@pytest.mark.parametrize("new", ["timestamp", "timestamp_ns"])
def test_in_v3_a_date_can_become_a_timestamp_unless_it_partitions(new: str) -> None:
    v3 = {"properties": {"format-version": "3"}}
    assert apply(written("date", **v3), *evolved(*one(new)["fields"]))["current-schema-id"] == 1
    spec = {"fields": [{"source-id": 1, "transform": "identity", "name": "x"}]}
    with pytest.raises(InvalidDefinition, match="cannot change its type"):
        apply(written("date", partition_spec=spec, **v3), *evolved(*one(new)["fields"]))


def test_a_type_within_a_list_follows_the_same_rule() -> None:
    base = written(list_of(5, "int"))
    number = base["schemas"][0]["fields"][0]["type"]["element-id"]
    assert apply(base, *evolved(*one(list_of(number, "long"))["fields"]))["current-schema-id"] == 1
    with pytest.raises(InvalidDefinition, match=r'"x.element" cannot change'):
        apply(base, *evolved(*one(list_of(number, "string"))["fields"]))


def test_a_partitioned_column_must_still_fit_its_transform() -> None:
    spec = {"fields": [{"source-id": 1, "transform": "truncate[4]", "name": "x_trunc"}]}
    base = table(one("int"), partition_spec=spec)
    with pytest.raises(InvalidDefinition, match="double, cannot partition or sort by truncate"):
        apply(base, *evolved(*one("double")["fields"]))


# --- required -----------------------------------------------------------------------------------


def test_an_optional_column_cannot_become_required() -> None:
    with pytest.raises(InvalidDefinition, match='"city" cannot become required'):
        apply(with_rows(), *changed(3, required=True))
    assert apply(table(), *changed(3, required=True))["current-schema-id"] == 1


def test_a_required_column_can_become_optional() -> None:
    base = apply(table(one("int", required=True)), *appended(1, 1))
    assert apply(base, *evolved(*one("int")["fields"]))["current-schema-id"] == 1


def test_a_required_column_is_added_to_a_table_without_rows_or_with_a_default() -> None:
    more = column(9, "more", "int", required=True)
    with pytest.raises(InvalidDefinition, match='"more" cannot be added as required'):
        apply(with_rows(), *evolved(*FIELDS, more))
    assert apply(table(), *evolved(*FIELDS, more))["current-schema-id"] == 1
    v3 = apply(with_rows(), {"action": "upgrade-format-version", "format-version": 3})
    made = apply(v3, *evolved(*FIELDS, {**more, "initial-default": 3}))
    assert made["current-schema-id"] == 1


def test_a_required_field_within_a_new_column_is_no_trouble() -> None:
    inner = struct(column(10, "x", "int", required=True))
    assert apply(with_rows(), *evolved(*FIELDS, column(9, "s", inner)))["current-schema-id"] == 1


# --- starting anew ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, -1])
def test_a_table_that_starts_anew_may_have_other_types(order: int) -> None:
    updates = [*changed(3, type="int", required=True), DETACH]
    made = apply(with_rows(), *updates[::order] if order == 1 else [DETACH, *updates[:-1]])
    assert made["current-snapshot-id"] is None
    assert made["current-schema-id"] == 1


def test_a_table_that_starts_anew_with_rows_in_the_same_commit() -> None:
    new_rows = appended(200, 2, **{"schema-id": 1})
    made = apply(with_rows(), DETACH, *changed(3, type="int"), *new_rows)
    assert made["current-snapshot-id"] == 200


def test_taking_main_away_and_back_is_not_starting_anew() -> None:
    with pytest.raises(InvalidDefinition, match="cannot change from"):
        apply(with_rows(), DETACH, *changed(3, type="int"), to_main(101))


def test_rows_of_another_branch_are_read_with_the_current_schema_too() -> None:
    branch = {"action": "set-snapshot-ref", "ref-name": "dev", "snapshot-id": 101, "type": "branch"}
    base = apply(with_rows(), branch)
    with pytest.raises(InvalidDefinition, match="cannot change from"):
        apply(base, DETACH, *changed(3, type="int"))


# --- names --------------------------------------------------------------------------------------


def test_a_column_cannot_take_the_name_of_a_partition() -> None:
    with pytest.raises(InvalidDefinition, match='"departed_day" has the name of a column'):
        apply(table(partition_spec=BY_DAY), *evolved(*FIELDS, column(9, "Departed_Day")))


def test_a_column_may_be_renamed_although_it_partitions() -> None:
    made = apply(table(partition_spec=BY_DAY), *changed(2, name="left_at"))
    assert made["partition-specs"][0]["fields"][0]["name"] == "departed_day"
    spec = {"fields": [{"source-id": 3, "transform": "identity", "name": "city"}]}
    assert apply(table(partition_spec=spec), *changed(3, name="town"))["current-schema-id"] == 1


def test_data_commits_do_not_look_at_the_structure() -> None:
    odd = with_rows()
    odd["schemas"] = [{**odd["schemas"][0], "fields": [column(1, "a"), column(2, "A", "odd")]}]
    assert apply(odd, *appended(200, 2, 101))["current-snapshot-id"] == 200
