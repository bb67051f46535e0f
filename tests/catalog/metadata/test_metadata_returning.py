"""Ids are given once, and by the catalog."""

from __future__ import annotations

import pytest

from lakehold.errors import InvalidDefinition
from tests.catalog.metadata.tables import (
    TRIPS,
    Json,
    apply,
    column,
    evolved,
    struct,
    table,
    with_rows,
)

COLUMNS: list[Json] = TRIPS["fields"]
WITHOUT_FARE = [item for item in COLUMNS if item["id"] != 4]
FARE = COLUMNS[3]


def dropped() -> Json:
    """A table with rows whose column fare, a decimal(9, 2) of id 4, is gone."""
    return apply(with_rows(2), *evolved(*WITHOUT_FARE))


@pytest.mark.parametrize(
    "given",
    [
        column(4, "tip", "string"),
        column(4, "tip", "decimal(9, 2)"),
        column(4, "fare", "int"),
        column(4, "fare", "decimal(7, 2)"),
        column(4, "fare", struct(column(9, "x"))),
    ],
)
def test_the_id_of_a_dropped_column_is_not_given_to_another(given: Json) -> None:
    with pytest.raises(InvalidDefinition, match=r'id 4: it was that of "fare"'):
        apply(dropped(), *evolved(*WITHOUT_FARE, given))


@pytest.mark.parametrize("kind", ["decimal(9, 2)", "decimal(12, 2)"])
def test_a_dropped_column_may_come_back_as_what_it_was(kind: str) -> None:
    made = apply(dropped(), *evolved(*WITHOUT_FARE, {**FARE, "type": kind}))
    assert made["schemas"][-1]["fields"][-1]["type"] == kind


def test_a_dropped_column_comes_back_with_its_former_schema() -> None:
    made = apply(dropped(), {"action": "set-current-schema", "schema-id": 0})
    assert made["current-schema-id"] == 0


def test_a_dropped_column_is_as_wide_as_it_ever_was() -> None:
    wider = [{**item, "type": "decimal(12, 2)"} if item is FARE else item for item in COLUMNS]
    gone = apply(apply(with_rows(1), *evolved(*wider)), *evolved(*WITHOUT_FARE))
    with pytest.raises(InvalidDefinition, match="id 4"):
        apply(gone, {"action": "set-current-schema", "schema-id": 0})


def test_a_table_that_starts_anew_may_use_an_id_for_another_type() -> None:
    anew = {"action": "remove-snapshot-ref", "ref-name": "main"}
    made = apply(dropped(), anew, *evolved(*WITHOUT_FARE, column(4, "fare", "string")))
    assert made["schemas"][-1]["fields"][-1]["type"] == "string"


def test_the_last_field_id_is_the_fields_own_whatever_the_committer_says() -> None:
    added = struct(*COLUMNS, column(9, "n"))
    for given in (10**30, 2_000_000_000, -1, True, "x"):
        update = {"action": "add-schema", "schema": added, "last-column-id": given}
        assert apply(table(), update)["last-column-id"] == 9


def test_an_id_that_is_far_away_is_given_anew() -> None:
    fields = [{"source-id": 1, "transform": "identity", "name": "id"}]
    update = {"action": "add-spec", "spec": {"spec-id": 2**31 - 1, "fields": fields}}
    made = apply(table(), update, {"action": "set-default-spec", "spec-id": 2**31 - 1})
    assert [spec["spec-id"] for spec in made["partition-specs"]] == [0, 1]
    assert made["default-spec-id"] == 1
