"""The first metadata of a table, compared with what PyIceberg makes."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.metadata import TableMetadataUtil, new_table_metadata
from pyiceberg.table.sorting import SortOrder

from lakehold.errors import InvalidDefinition
from tests.catalog.metadata.tables import (
    NOW_MS,
    PLACE,
    TRIPS,
    UUID,
    apply,
    column,
    list_of,
    struct,
    table,
)

SCATTERED = struct(
    column(10, "a", struct(column(11, "x", "int"), column(12, "y", list_of(13, "int")))),
    column(
        20,
        "m",
        {
            "type": "map",
            "key-id": 21,
            "key": "string",
            "value-id": 22,
            "value": struct(column(23, "q", "int")),
            "value-required": False,
        },
    ),
    column(30, "z", "date", required=True),
    **{"schema-id": 7, "identifier-field-ids": [30]},
)
SPEC = {"spec-id": 3, "fields": [{"source-id": 30, "transform": "day", "name": "z_day"}]}
ORDER = {
    "order-id": 9,
    "fields": [
        {
            "source-id": 30,
            "transform": "identity",
            "direction": "desc",
            "null-order": "nulls-last",
        }
    ],
}


def theirs(schema: Any, spec: Any, order: Any) -> dict[str, Any]:
    made = new_table_metadata(
        Schema.model_validate(schema),
        PartitionSpec.model_validate(
            {**spec, "fields": [{"field-id": 1000, **f} for f in spec["fields"]]}
        ),
        SortOrder.model_validate(order),
        PLACE,
        {"a": "b"},
        UUID,  # type: ignore[arg-type]
    )
    return made.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_a_new_table_is_what_pyiceberg_would_make() -> None:
    ours = table(SCATTERED, partition_spec=SPEC, sort_order=ORDER, properties={"a": "b"})
    expected = theirs(SCATTERED, SPEC, ORDER)
    read = TableMetadataUtil.parse_obj(copy.deepcopy(ours))
    shown = read.model_dump(mode="json", by_alias=True, exclude_none=True)
    for made in (shown, expected):
        made.pop("last-updated-ms")
    assert shown == expected


def test_references_follow_the_fresh_ids() -> None:
    made = table(SCATTERED, partition_spec=SPEC, sort_order=ORDER)
    [schema] = made["schemas"]
    assert [item["id"] for item in schema["fields"]] == [1, 2, 3]
    assert schema["identifier-field-ids"] == [3]
    assert made["last-column-id"] == 9
    assert made["partition-specs"] == [
        {
            "spec-id": 0,
            "fields": [{"source-id": 3, "transform": "day", "name": "z_day", "field-id": 1000}],
        }
    ]
    assert made["last-partition-id"] == 1000
    assert made["sort-orders"][0]["fields"][0]["source-id"] == 3
    assert made["default-sort-order-id"] == made["sort-orders"][0]["order-id"] == 1


def test_without_partitioning_and_order_both_are_zero_and_empty() -> None:
    made = table()
    assert made["partition-specs"] == [{"spec-id": 0, "fields": []}]
    assert made["sort-orders"] == [{"order-id": 0, "fields": []}]
    assert (made["default-spec-id"], made["default-sort-order-id"]) == (0, 0)
    assert made["last-partition-id"] == 999
    assert (made["format-version"], made["last-updated-ms"]) == (2, NOW_MS)


def test_the_format_version_is_chosen_by_a_property_that_is_not_kept() -> None:
    made = table(properties={"format-version": "3", "x": "y"})
    assert made["format-version"] == 3
    assert made["next-row-id"] == 0
    assert made["properties"] == {"x": "y"}


@pytest.mark.parametrize("wanted", ["1", "4", "two", ""])
def test_a_format_version_that_cannot_be_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidDefinition, match="format version"):
        table(properties={"format-version": wanted})


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"type": "list"}, "struct with fields"),
        (struct(), "at least one column"),
        (struct(column(1, "a"), column(2, "A")), "without case"),
        (struct(column(1, "s", struct(column(2, "x"), column(3, "X")))), '"s.x" and "s.X"'),
        (struct(column(1, "a"), column(1, "b")), "of another field"),
        (struct(column(1, "a", list_of(1, "int"))), "of another field"),
        (struct(column(1, "")), "has a name"),
        (struct({"name": "a", "type": "int"}), "has no id"),
        (struct(column(True, "a")), "has no id"),
        (struct(column(2147483540, "a")), "reserved"),
        (struct(column(1, "a", "integer")), "no type 'integer'"),
        (struct(column(1, "a", None)), "no type None"),
        (struct(column(1, "a", {"type": "set"})), "no type"),
        (struct(column(1, "a", "decimal(39, 2)")), "too many digits"),
        (struct(column(1, "a", "fixed[0]")), "no type"),
        (struct(column(1, "a", "timestamp_ns")), "format version 3"),
        (struct(column(1, "a", "variant")), "format version 3"),
        (struct(column(1, "a", "int", **{"initial-default": 3})), "format version 3"),
        (struct(column(1, "a"), **{"identifier-field-ids": [2]}), "no field 2"),
        (struct(column(1, "a"), **{"identifier-field-ids": [1]}), "may be missing"),
        (
            struct(column(1, "a", "double", required=True), **{"identifier-field-ids": [1]}),
            "cannot identify",
        ),
    ],
)
def test_a_schema_that_cannot_be_is_refused(schema: Any, why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        table(schema)


def test_types_of_v3_are_possible_in_v3() -> None:
    schema = struct(column(1, "a", "timestamp_ns"), column(2, "b", "variant"))
    assert table(schema, properties={"format-version": "3"})["format-version"] == 3


def test_a_staged_create_makes_what_its_updates_say() -> None:
    made = apply(
        None,
        {"action": "assign-uuid", "uuid": UUID},
        {"action": "upgrade-format-version", "format-version": 2},
        {"action": "add-schema", "schema": {**TRIPS, "schema-id": 0}, "last-column-id": 8},
        {"action": "set-current-schema", "schema-id": -1},
        {
            "action": "add-spec",
            "spec": {
                "spec-id": 0,
                "fields": [
                    {"source-id": 2, "field-id": 1000, "transform": "day", "name": "departed_day"}
                ],
            },
        },
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "add-sort-order", "sort-order": {"order-id": 0, "fields": []}},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "set-location", "location": PLACE},
        {"action": "set-properties", "updates": {"a": "b"}},
    )
    spec = {"fields": [{"source-id": 2, "transform": "day", "name": "departed_day"}]}
    assert made == table(partition_spec=spec, properties={"a": "b"})


def test_a_staged_create_without_partitioning_and_order_has_none() -> None:
    made = apply(
        None,
        {"action": "assign-uuid", "uuid": UUID},
        {"action": "add-schema", "schema": TRIPS},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "set-location", "location": f"{PLACE}/"},
    )
    assert made == table()


@pytest.mark.parametrize("missing", ["assign-uuid", "set-location", "set-current-schema"])
def test_a_staged_create_says_what_is_missing(missing: str) -> None:
    updates: list[dict[str, Any]] = [
        {"action": "assign-uuid", "uuid": UUID},
        {"action": "add-schema", "schema": TRIPS},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "set-location", "location": PLACE},
    ]
    with pytest.raises(InvalidDefinition, match="a new table needs"):
        apply(None, *(update for update in updates if update["action"] != missing))
