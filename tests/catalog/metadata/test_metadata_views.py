"""Views: their first metadata, and every update."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lakehold.catalog.metadata import (
    apply_view_updates,
    check_view_requirements,
    new_view_metadata,
)
from lakehold.errors import CommitConflict, InvalidDefinition, InvalidRequest
from tests.catalog.metadata.tables import NOW_MS, PLACE, UUID, Json, column, struct

SHAPE = struct(column(1, "x"))


def sql(text: str, dialect: str = "duckdb") -> Json:
    return {"type": "sql", "sql": text, "dialect": dialect}


def version(number: int, *representations: Json, **more: Any) -> Json:
    return {
        "version-id": number,
        "schema-id": 0,
        "timestamp-ms": NOW_MS + number,
        "summary": {"engine-name": "lakehold"},
        "default-namespace": ["main"],
        "representations": list(representations),
        **more,
    }


def view(**given: Any) -> Json:
    values: Json = {
        "view_uuid": UUID,
        "location": PLACE,
        "schema": SHAPE,
        "version": version(7, sql("SELECT 1 AS x")),
        "properties": {"a": "b"},
        "now_ms": NOW_MS,
        **given,
    }
    return new_view_metadata(**values)


def replaced(number: int, *representations: Json, **more: Any) -> list[Json]:
    return [
        {"action": "add-view-version", "view-version": version(number, *representations, **more)},
        {"action": "set-current-view-version", "view-version-id": -1},
    ]


def apply(metadata: Json, *updates: Json, now_ms: int = NOW_MS) -> Json:
    return apply_view_updates(metadata, list(updates), now_ms=now_ms)


def test_a_new_view_has_its_first_version_and_schema() -> None:
    made = view()
    assert made["current-version-id"] == 1
    assert [item["version-id"] for item in made["versions"]] == [1]
    assert made["version-log"] == [{"timestamp-ms": NOW_MS + 7, "version-id": 1}]
    assert made["schemas"] == [{**SHAPE, "schema-id": 0}]
    assert (made["view-uuid"], made["format-version"], made["location"]) == (UUID, 1, PLACE)


def test_a_new_version_of_a_view_with_a_new_shape() -> None:
    shape = struct(column(1, "x"), column(2, "y"))
    made = apply(
        view(),
        {"action": "add-schema", "schema": {**shape, "schema-id": 0}},
        *replaced(2, sql("SELECT 1 AS x, 2 AS y"), **{"schema-id": -1}),
    )
    assert [item["schema-id"] for item in made["schemas"]] == [0, 1]
    assert made["versions"][1]["schema-id"] == 1
    assert made["current-version-id"] == 2
    assert made["version-log"][-1] == {"timestamp-ms": NOW_MS + 7, "version-id": 2}


def test_a_version_that_is_there_is_not_added_again() -> None:
    made = apply(view(), *replaced(2, sql("SELECT 2 AS x")))
    back = apply(made, *replaced(3, sql("SELECT 1 AS x")), now_ms=NOW_MS + 99)
    assert (back["current-version-id"], len(back["versions"])) == (1, 2)
    assert back["version-log"][-1] == {"timestamp-ms": NOW_MS + 99, "version-id": 1}


def test_a_taken_number_of_a_version_becomes_the_next() -> None:
    made = apply(view(), *replaced(1, sql("SELECT 2 AS x")))
    assert (made["current-version-id"], len(made["versions"])) == (2, 2)


def test_old_versions_go_and_the_log_with_them() -> None:
    made = view(properties={"version.history.num-entries": "3"})
    for number in range(2, 8):
        made = apply(made, *replaced(number, sql(f"SELECT {number} AS x")))
    assert [item["version-id"] for item in made["versions"]] == [5, 6, 7]
    assert [item["version-id"] for item in made["version-log"]] == [5, 6, 7]
    back = apply(made, {"action": "set-current-view-version", "view-version-id": 5})
    newer = apply(back, {"action": "set-properties", "updates": {"z": "1"}})
    assert [item["version-id"] for item in newer["versions"]] == [5, 6, 7]
    assert newer["current-version-id"] == 5


def test_a_view_is_not_taken_from_the_readers_of_a_dialect() -> None:
    both = apply(view(), *replaced(2, sql("SELECT 1 AS x"), sql("select 1 x", "spark")))
    with pytest.raises(InvalidDefinition, match="spark"):
        apply(both, *replaced(3, sql("SELECT 2 AS x")))
    allowed = {"action": "set-properties", "updates": {"replace.drop-dialect.allowed": "true"}}
    made = apply(both, *replaced(3, sql("SELECT 2 AS x")), allowed)
    assert made["current-version-id"] == 3


def test_properties_location_and_uuid() -> None:
    made = apply(
        view(),
        {"action": "assign-uuid", "uuid": UUID},
        {"action": "upgrade-format-version", "format-version": 1},
        {"action": "set-location", "location": "/x"},
        {"action": "set-properties", "updates": {"c": "d"}},
        {"action": "remove-properties", "removals": ["a", "z"]},
    )
    assert (made["location"], made["properties"]) == ("/x", {"c": "d"})


@pytest.mark.parametrize(
    "updates",
    [
        replaced(2),
        replaced(2, sql("a"), sql("b", "DuckDB")),
        replaced(2, {"type": "sql", "sql": "a"}),
        replaced(2, {"sql": "a", "dialect": "b"}),
        replaced(2, sql("a"), **{"schema-id": 4}),
        replaced(2, sql("a"), **{"schema-id": -1}),
        [{"action": "set-current-view-version", "view-version-id": 3}],
        [{"action": "set-current-view-version", "view-version-id": -1}],
        [{"action": "add-schema", "schema": struct(column(1, "a"), column(2, "A"))}],
        [{"action": "add-schema", "schema": struct()}],
        [{"action": "assign-uuid", "uuid": "other"}],
        [{"action": "upgrade-format-version", "format-version": 2}],
        [{"action": "set-location", "location": ""}],
        [
            {"action": "set-properties", "updates": {"version.history.num-entries": "none"}},
            *replaced(2, sql("a")),
        ],
    ],
)
def test_what_cannot_be_is_refused(updates: list[Json]) -> None:
    with pytest.raises(InvalidDefinition):
        apply(view(), *updates)


@pytest.mark.parametrize(
    "update",
    [
        {"action": "add-snapshot"},
        {"action": "add-view-version"},
        {"action": "add-view-version", "view-version": {"version-id": "2"}},
        {"action": "set-current-view-version"},
        {"action": "set-properties", "updates": {"a": None}},
        None,
    ],
)
def test_a_malformed_update_is_an_invalid_request(update: Any) -> None:
    with pytest.raises(InvalidRequest):
        apply(view(), update)


def test_neither_the_metadata_nor_the_updates_are_changed() -> None:
    base = view(properties={"version.history.num-entries": "1"})
    updates = replaced(2, sql("SELECT 2 AS x"))
    before = copy.deepcopy((base, updates))
    made = apply({**base, "later": 1}, *updates)
    assert (base, updates) == before
    assert made["later"] == 1


def test_a_view_is_the_one_that_was_meant() -> None:
    check_view_requirements(view(), [{"type": "assert-view-uuid", "uuid": UUID.upper()}])
    check_view_requirements(None, [{"type": "assert-create"}])
    for metadata, wanted in [
        (view(), {"type": "assert-view-uuid", "uuid": "other"}),
        (view(), {"type": "assert-create"}),
        (None, {"type": "assert-view-uuid", "uuid": UUID}),
    ]:
        with pytest.raises(CommitConflict):
            check_view_requirements(metadata, [wanted])
    with pytest.raises(InvalidRequest):
        check_view_requirements(view(), [{"type": "assert-table-uuid", "uuid": UUID}])
