"""What a committer may require of a table."""

from __future__ import annotations

from typing import Any

import pytest

from lakehold.catalog.metadata import check_requirements
from lakehold.errors import CommitConflict, InvalidRequest
from tests.catalog.metadata.tables import UUID, Json, apply, table, with_rows


def ref(name: str, number: int | None) -> Json:
    return {"type": "assert-ref-snapshot-id", "ref": name, "snapshot-id": number}


HOLDING: list[Json] = [
    {"type": "assert-table-uuid", "uuid": UUID},
    {"type": "assert-table-uuid", "uuid": UUID.upper()},
    ref("main", 102),
    ref("dev", None),
    {"type": "assert-ref-snapshot-id", "ref": "dev"},
    {"type": "assert-last-assigned-field-id", "last-assigned-field-id": 8},
    {"type": "assert-current-schema-id", "current-schema-id": 0},
    {"type": "assert-last-assigned-partition-id", "last-assigned-partition-id": 999},
    {"type": "assert-default-spec-id", "default-spec-id": 0},
    {"type": "assert-default-sort-order-id", "default-sort-order-id": 0},
]

FAILING: list[Json] = [
    {"type": "assert-create"},
    {"type": "assert-table-uuid", "uuid": UUID.replace("1", "2")},
    ref("main", 101),
    ref("main", None),
    ref("dev", 102),
    {"type": "assert-last-assigned-field-id", "last-assigned-field-id": 7},
    {"type": "assert-current-schema-id", "current-schema-id": 1},
    {"type": "assert-last-assigned-partition-id", "last-assigned-partition-id": 1000},
    {"type": "assert-default-spec-id", "default-spec-id": 1},
    {"type": "assert-default-sort-order-id", "default-sort-order-id": 1},
]


@pytest.mark.parametrize("requirement", HOLDING)
def test_a_requirement_that_holds_is_met(requirement: Json) -> None:
    check_requirements(with_rows(2), [requirement])


@pytest.mark.parametrize("requirement", FAILING)
def test_a_requirement_that_does_not_hold_is_a_conflict(requirement: Json) -> None:
    with pytest.raises(CommitConflict, match="Requirement failed"):
        check_requirements(with_rows(2), [*HOLDING, requirement])


def test_a_table_that_is_to_be_made_must_not_be_there() -> None:
    check_requirements(None, [{"type": "assert-create"}])
    for requirement in HOLDING:
        with pytest.raises(CommitConflict, match="does not exist"):
            check_requirements(None, [requirement])


def test_a_table_without_rows_has_no_main() -> None:
    check_requirements(table(), [ref("main", None)])
    check_requirements({**table(), "current-snapshot-id": -1}, [ref("main", None)])
    emptied = apply(with_rows(), {"action": "remove-snapshot-ref", "ref-name": "main"})
    check_requirements(emptied, [ref("main", None)])


def test_metadata_of_old_writers_has_main_without_references() -> None:
    old = {**with_rows(2)}
    del old["refs"]
    check_requirements(old, [ref("main", 102)])


@pytest.mark.parametrize(
    "requirement",
    [
        {"type": "assert-anything"},
        {"type": "assert-view-uuid", "uuid": UUID},
        {"type": "assert-table-uuid"},
        {"type": "assert-ref-snapshot-id", "ref": "main", "snapshot-id": "102"},
        {"type": "assert-current-schema-id", "current-schema-id": "0"},
        {"type": "assert-current-schema-id", "current-schema-id": False},
        {},
        "assert-create",
    ],
)
def test_a_malformed_requirement_is_an_invalid_request(requirement: Any) -> None:
    with pytest.raises(InvalidRequest):
        check_requirements(with_rows(2), [requirement])
