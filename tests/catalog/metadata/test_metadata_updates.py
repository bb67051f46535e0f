"""Every update of a table: what it changes, and what it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pyiceberg.table.metadata import TableMetadataUtil, TableMetadataV3

from lakehold.errors import CommitConflict, InvalidDefinition, InvalidRequest
from tests.catalog.metadata.tables import (
    NOW_MS,
    PLACE,
    TRIPS,
    UUID,
    Json,
    appended,
    apply,
    column,
    evolved,
    snapshot,
    struct,
    table,
    to_main,
    with_rows,
)

V3 = {"format-version": "3"}


# --- identity, format, properties ---------------------------------------------------------------


def test_the_uuid_stays() -> None:
    assert apply(table(), {"action": "assign-uuid", "uuid": UUID.upper()}) == table()
    with pytest.raises(InvalidDefinition, match="UUID"):
        apply(table(), {"action": "assign-uuid", "uuid": UUID.replace("1", "9")})


def test_the_format_goes_up_only() -> None:
    up = {"action": "upgrade-format-version", "format-version": 3}
    made = apply(table(), up)
    assert (made["format-version"], made["next-row-id"]) == (3, 0)
    assert apply(made, up) == made
    with pytest.raises(InvalidDefinition, match="cannot go back"):
        apply(made, {"action": "upgrade-format-version", "format-version": 2})


def test_the_property_format_version_upgrades_and_is_not_kept() -> None:
    made = apply(table(), {"action": "set-properties", "updates": {**V3, "a": "b"}})
    assert made["format-version"] == 3
    assert made["properties"] == {"a": "b"}


def test_an_upgraded_v1_table_loses_what_v1_had_twice() -> None:
    old = {**table(), "format-version": 1, "schema": TRIPS, "partition-spec": []}
    del old["last-sequence-number"]
    made = apply(old, {"action": "upgrade-format-version", "format-version": 2})
    assert made["last-sequence-number"] == 0
    assert "schema" not in made
    assert "partition-spec" not in made


def test_a_v1_table_keeps_its_second_schema_in_step() -> None:
    old = {**table(), "format-version": 1, "schema": TRIPS, "partition-spec": []}
    made = apply(old, *evolved(*TRIPS["fields"], column(9, "more")))
    assert made["schema"]["fields"][-1]["name"] == "more"


def test_properties_are_set_and_removed() -> None:
    made = apply(
        table(properties={"a": "1", "b": "2"}),
        {"action": "set-properties", "updates": {"b": "3", "c": "4"}},
        {"action": "remove-properties", "removals": ["a", "never"]},
    )
    assert made["properties"] == {"b": "3", "c": "4"}


def test_the_location_moves() -> None:
    assert apply(table(), {"action": "set-location", "location": "/x/"})["location"] == "/x"


# --- schemas ------------------------------------------------------------------------------------


def test_a_schema_takes_the_next_id_and_the_last_column_id_grows() -> None:
    made = apply(table(), *evolved(*TRIPS["fields"], column(9, "more")))
    assert [schema["schema-id"] for schema in made["schemas"]] == [0, 1]
    assert (made["current-schema-id"], made["last-column-id"]) == (1, 9)


def test_a_schema_that_is_there_is_not_added_again() -> None:
    made = apply(table(), *evolved(*TRIPS["fields"]))
    assert made == table()


def test_the_committers_own_number_of_a_schema_is_understood() -> None:
    first = apply(table(), *evolved(*TRIPS["fields"], column(9, "more")))
    fields = [*TRIPS["fields"], column(10, "other")]
    made = apply(
        first,
        {"action": "add-schema", "schema": {**struct(*fields), "schema-id": 1}},
        {"action": "set-current-schema", "schema-id": 1},
    )
    assert made["current-schema-id"] == 2
    assert made["schemas"][2]["fields"][-1]["name"] == "other"


def test_a_dropped_column_never_gives_its_id_away() -> None:
    without = apply(table(), *evolved(*TRIPS["fields"][:2]))
    assert without["last-column-id"] == 8
    with pytest.raises(InvalidDefinition, match="another field's"):
        apply(without, *evolved(*TRIPS["fields"][:2], column(7, "new")))
    again = apply(without, *evolved(*TRIPS["fields"]))
    assert again["current-schema-id"] == 0


def test_a_schema_of_a_snapshot_is_not_removed() -> None:
    made = apply(with_rows(), *evolved(*TRIPS["fields"], column(9, "more")))
    with pytest.raises(InvalidDefinition, match="one of snapshot 101"):
        apply(made, {"action": "remove-schemas", "schema-ids": [0]})
    unread = apply(table(), *evolved(*TRIPS["fields"], column(9, "more")))
    left = apply(unread, {"action": "remove-schemas", "schema-ids": [0]})
    assert [schema["schema-id"] for schema in left["schemas"]] == [1]


# --- partitioning and order ---------------------------------------------------------------------


def spec(*fields: Json, **more: Any) -> Json:
    return {"action": "add-spec", "spec": {"fields": list(fields), **more}}


def part(source: int, transform: str, name: str, **more: Any) -> Json:
    return {"source-id": source, "transform": transform, "name": name, **more}


LAST_SPEC = {"action": "set-default-spec", "spec-id": -1}


def test_a_partition_field_keeps_its_id_through_specs() -> None:
    made = apply(table(), spec(part(2, "day", "departed_day")), LAST_SPEC)
    made = apply(
        made, spec(part(1, "bucket[4]", "id_bucket"), part(2, "day", "departed_day")), LAST_SPEC
    )
    numbers = [[item["field-id"] for item in s["fields"]] for s in made["partition-specs"]]
    assert numbers == [[], [1000], [1001, 1000]]
    assert (made["default-spec-id"], made["last-partition-id"]) == (2, 1001)
    again = apply(made, spec(part(2, "day", "departed_day")), LAST_SPEC)
    assert (again["default-spec-id"], len(again["partition-specs"])) == (1, 3)
    assert apply(again, spec(), LAST_SPEC)["default-spec-id"] == 0


def test_the_default_spec_is_not_removed() -> None:
    made = apply(table(), spec(part(2, "day", "departed_day")), LAST_SPEC)
    with pytest.raises(InvalidDefinition, match="default"):
        apply(made, {"action": "remove-partition-specs", "spec-ids": [1]})
    left = apply(made, {"action": "remove-partition-specs", "spec-ids": [0]})
    assert [item["spec-id"] for item in left["partition-specs"]] == [1]


def test_an_order_takes_the_next_id_and_zero_is_unsorted() -> None:
    add = {"action": "add-sort-order"}
    key = {"source-id": 1, "transform": "identity", "direction": "asc", "null-order": "nulls-last"}
    last = {"action": "set-default-sort-order", "sort-order-id": -1}
    made = apply(table(), {**add, "sort-order": {"order-id": 0, "fields": [key]}}, last)
    assert (made["default-sort-order-id"], len(made["sort-orders"])) == (1, 2)
    assert apply(made, {**add, "sort-order": {"order-id": 1, "fields": [key]}}, last) == made
    back = apply(made, {**add, "sort-order": {"order-id": 2, "fields": []}}, last)
    assert (back["default-sort-order-id"], len(back["sort-orders"])) == (0, 2)


@pytest.mark.parametrize(
    "update",
    [
        {"action": "set-current-schema", "schema-id": 7},
        {"action": "set-current-schema", "schema-id": -1},
        {"action": "set-default-spec", "spec-id": 7},
        {"action": "set-default-spec", "spec-id": -1},
        {"action": "set-default-sort-order", "sort-order-id": 7},
        {"action": "set-default-sort-order", "sort-order-id": -1},
        {"action": "remove-schemas", "schema-ids": [0]},
        {"action": "remove-schemas", "schema-ids": [7]},
        {"action": "remove-partition-specs", "spec-ids": [0]},
        {"action": "remove-partition-specs", "spec-ids": [7]},
        {"action": "set-location", "location": "/"},
        {"action": "remove-snapshots", "snapshot-ids": [7]},
        to_main(7),
        {"action": "add-snapshot", "snapshot": snapshot(101, 9)},
        {"action": "add-snapshot", "snapshot": snapshot(102, 9, 101, **{"schema-id": 7})},
        {"action": "remove-snapshots", "snapshot-ids": [101]},
        {"action": "set-snapshot-ref", "ref-name": "main", "snapshot-id": 101, "type": "tag"},
        {"action": "set-snapshot-ref", "ref-name": "b", "snapshot-id": 101, "type": "twig"},
        {
            "action": "set-snapshot-ref",
            "ref-name": "b",
            "snapshot-id": 101,
            "type": "tag",
            "min-snapshots-to-keep": 1,
        },
        {
            "action": "set-snapshot-ref",
            "ref-name": "b",
            "snapshot-id": 101,
            "type": "tag",
            "max-ref-age-ms": 0,
        },
        {"action": "set-statistics", "statistics": {"snapshot-id": 7, "statistics-path": "x"}},
        {"action": "add-encryption-key", "encryption-key": {"key-id": "k"}},
        spec(part(7, "day", "x")),
        spec(part(99, "identity", "x")),
        spec(part(3, "day", "x")),
        spec(part(1, "hash", "x")),
        spec(part(1, "bucket", "x")),
        spec(part(1, "bucket[0]", "x")),
        spec(part(1, "identity", "city")),
        spec(part(8, "identity", "x")),
        spec(part(5, "identity", "x")),
        spec(part(1, "identity", "")),
        spec(part(1, "bucket[4]", "a"), part(3, "bucket[4]", "A")),
        spec(part(1, "bucket[4]", "a"), part(1, "bucket[4]", "b")),
        spec(
            part(1, "bucket[4]", "a", **{"field-id": 5}),
            part(3, "bucket[4]", "b", **{"field-id": 5}),
        ),
    ],
)
def test_what_cannot_be_is_refused(update: Json) -> None:
    with pytest.raises(InvalidDefinition):
        apply(with_rows(), update)


@pytest.mark.parametrize(
    "update",
    [
        {"action": "explode"},
        {},
        {"action": None},
        "assign-uuid",
        {"action": "assign-uuid"},
        {"action": "assign-uuid", "uuid": 3},
        {"action": "upgrade-format-version", "format-version": "x"},
        {"action": "upgrade-format-version", "format-version": True},
        {"action": "add-schema", "schema": []},
        {"action": "set-properties", "updates": {"a": 1}},
        {"action": "set-properties", "updates": ["a"]},
        {"action": "remove-properties", "removals": [1]},
        {"action": "remove-snapshots", "snapshot-ids": [True]},
        {"action": "add-snapshot", "snapshot": {"snapshot-id": "1"}},
        {"action": "add-snapshot", "snapshot": {"snapshot-id": 1}},
        {"action": "set-snapshot-ref", "ref-name": "main"},
        {"action": "set-statistics", "statistics": {}},
    ],
)
def test_a_malformed_update_is_an_invalid_request(update: Any) -> None:
    with pytest.raises(InvalidRequest):
        apply(with_rows(), update)


# --- snapshots ----------------------------------------------------------------------------------


def test_an_append_moves_main_and_the_log() -> None:
    made = with_rows(2)
    assert [item["snapshot-id"] for item in made["snapshots"]] == [101, 102]
    assert made["current-snapshot-id"] == 102
    assert made["refs"] == {"main": {"snapshot-id": 102, "type": "branch"}}
    assert made["last-sequence-number"] == 2
    assert made["last-updated-ms"] == NOW_MS + 2000
    assert made["snapshot-log"] == [
        {"snapshot-id": 101, "timestamp-ms": NOW_MS + 1000},
        {"snapshot-id": 102, "timestamp-ms": NOW_MS + 2000},
    ]


def test_a_rollback_is_logged_at_its_own_time_and_time_never_goes_back() -> None:
    later = apply(with_rows(2), to_main(101), now_ms=NOW_MS + 9000)
    assert later["current-snapshot-id"] == 101
    assert later["snapshot-log"][-1] == {"snapshot-id": 101, "timestamp-ms": NOW_MS + 9000}
    earlier = apply(with_rows(2), to_main(101), now_ms=NOW_MS - 9000)
    assert earlier["snapshot-log"][-1]["timestamp-ms"] == NOW_MS + 2000


def test_branches_and_tags_leave_main_alone() -> None:
    limits = {"min-snapshots-to-keep": 2, "max-snapshot-age-ms": 3, "max-ref-age-ms": 4}
    branch = {"action": "set-snapshot-ref", "ref-name": "dev", "snapshot-id": 101, **limits}
    tag = {"action": "set-snapshot-ref", "ref-name": "v1", "snapshot-id": 101, "type": "TAG"}
    made = apply(with_rows(2), {**branch, "type": "branch"}, tag)
    assert made["current-snapshot-id"] == 102
    assert made["refs"]["dev"] == {"snapshot-id": 101, "type": "branch", **limits}
    assert made["refs"]["v1"] == {"snapshot-id": 101, "type": "tag"}
    left = apply(made, {"action": "remove-snapshot-ref", "ref-name": "v1"})
    assert "v1" not in left["refs"]
    assert "v1" in made["refs"]


def test_without_main_the_table_is_empty_and_keeps_its_history() -> None:
    made = apply(with_rows(2), {"action": "remove-snapshot-ref", "ref-name": "main"})
    assert made["current-snapshot-id"] is None
    assert made["refs"] == {}
    assert len(made["snapshots"]) == 2


def test_removing_a_reference_that_is_not_there_is_no_error() -> None:
    made = with_rows()
    assert apply(made, {"action": "remove-snapshot-ref", "ref-name": "x"}) == made


def test_removed_snapshots_take_their_tags_statistics_and_older_history_with_them() -> None:
    file = {"snapshot-id": 102, "statistics-path": "/x", "file-size-in-bytes": 1}
    made = apply(
        with_rows(4),
        {"action": "set-snapshot-ref", "ref-name": "v1", "snapshot-id": 102, "type": "tag"},
        {"action": "set-statistics", "statistics": file},
        {"action": "set-partition-statistics", "partition-statistics": file},
        {"action": "remove-snapshots", "snapshot-ids": [102]},
    )
    assert [item["snapshot-id"] for item in made["snapshots"]] == [101, 103, 104]
    assert list(made["refs"]) == ["main"]
    assert made["statistics"] == made["partition-statistics"] == []
    assert [item["snapshot-id"] for item in made["snapshot-log"]] == [103, 104]


@pytest.mark.parametrize("sequence", [0, 1, 2])
def test_a_snapshot_comes_after_the_last(sequence: int) -> None:
    with pytest.raises(CommitConflict, match="not after"):
        apply(with_rows(2), *appended(200, sequence, 102))


def test_statistics_are_one_file_for_a_snapshot() -> None:
    first = {"snapshot-id": 101, "statistics-path": "/1", "blob-metadata": []}
    second = {**first, "statistics-path": "/2"}
    for key, action in (("statistics", "statistics"), ("partition-statistics",) * 2):
        made = apply(
            with_rows(),
            {"action": f"set-{action}", key: first},
            {"action": f"set-{action}", key: second},
        )
        assert made[key] == [second]
        gone = apply(made, {"action": f"remove-{action}", "snapshot-id": 101})
        assert gone[key] == []
        assert apply(gone, {"action": f"remove-{action}", "snapshot-id": 101}) == gone


# --- v3 -----------------------------------------------------------------------------------------


def rows(first: int | None, added: int | None) -> Json:
    given = {"first-row-id": first, "added-rows": added}
    return {key: value for key, value in given.items() if value is not None}


def test_row_ids_are_given_once() -> None:
    made = apply(table(properties=V3), *appended(1, 1, **rows(0, 10)))
    assert made["next-row-id"] == 10
    made = apply(made, *appended(2, 2, 1, **rows(12, 5)))
    assert made["next-row-id"] == 17
    with pytest.raises(CommitConflict, match="first row id"):
        apply(made, *appended(3, 3, 2, **rows(16, 5)))


@pytest.mark.parametrize("given", [rows(None, 1), rows(0, None)])
def test_a_v3_snapshot_says_its_rows(given: Json) -> None:
    with pytest.raises(InvalidRequest, match=r"first-row-id|added-rows"):
        apply(table(properties=V3), *appended(1, 1, **given))


def test_encryption_keys_come_and_go() -> None:
    key = {"key-id": "k", "encrypted-key-metadata": "abc", "encrypted-by-id": "m"}
    add = {"action": "add-encryption-key", "encryption-key": key}
    made = apply(table(properties=V3), add)
    assert made["encryption-keys"] == [key]
    with pytest.raises(InvalidDefinition, match="already"):
        apply(made, add)
    remove = {"action": "remove-encryption-key", "key-id": "k"}
    assert apply(made, remove)["encryption-keys"] == []
    used = apply(made, *appended(1, 1, **rows(0, 1) | {"key-id": "k"}))
    with pytest.raises(InvalidDefinition, match="of a snapshot"):
        apply(used, remove)


# --- what must hold for all ---------------------------------------------------------------------


def test_what_is_not_known_stays() -> None:
    old = {**with_rows(), "something-of-v9": {"x": [1]}}
    old["snapshots"] = [{**old["snapshots"][0], "unknown": 1}]
    made = apply(
        old,
        *appended(200, 2, 101, unknown=2),
        *evolved(*TRIPS["fields"], column(9, "more", future=3)),
        spec(part(1, "bucket[4]", "b", later=4), note=5),
        LAST_SPEC,
    )
    assert made["something-of-v9"] == {"x": [1]}
    assert [item["unknown"] for item in made["snapshots"]] == [1, 2]
    assert made["schemas"][1]["fields"][-1]["future"] == 3
    assert made["partition-specs"][1]["note"] == 5
    assert made["partition-specs"][1]["fields"][0]["later"] == 4


def test_neither_the_metadata_nor_the_updates_are_changed() -> None:
    base = with_rows(2)
    updates = [
        *appended(200, 3, 102),
        *evolved(*TRIPS["fields"], column(9, "more")),
        spec(part(1, "bucket[4]", "b")),
        LAST_SPEC,
        {"action": "set-properties", "updates": {"format-version": "3", "a": "b"}},
        {"action": "remove-snapshots", "snapshot-ids": [101]},
    ]
    before = copy.deepcopy((base, updates))
    apply(base, *updates)
    assert (base, updates) == before


def test_the_lists_of_the_metadata_are_shared_until_they_change() -> None:
    base = with_rows(2)
    made = apply(base, {"action": "set-location", "location": f"{PLACE}-2"})
    assert made["snapshots"] is base["snapshots"]
    assert made["schemas"] is base["schemas"]


def test_pyiceberg_reads_what_commits_make_of_a_v3_table() -> None:
    made = apply(table(properties=V3), *appended(1, 1, **rows(0, 10)))
    made = apply(made, *appended(2, 2, 1, **rows(10, 5)), *evolved(*TRIPS["fields"][:4]))
    read = TableMetadataUtil.parse_obj(copy.deepcopy(made))
    assert isinstance(read, TableMetadataV3)
    assert read.next_row_id == 15
