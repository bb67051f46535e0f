"""Whatever a client sends, it is applied or refused: never an error of another kind."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lakehold.catalog.metadata import apply_updates, apply_view_updates, check_requirements
from lakehold.errors import LakeholdError
from tests.catalog.metadata.tables import NOW_MS, TRIPS, Json, appended, table, with_rows
from tests.catalog.metadata.test_metadata_requirements import FAILING, HOLDING
from tests.catalog.metadata.test_metadata_views import replaced, sql, view

BY_DAY = {"fields": [{"source-id": 2, "transform": "day", "name": "d", "field-id": 1000}]}
KEY = {"source-id": 1, "transform": "identity", "direction": "asc", "null-order": "nulls-last"}
FILE = {"snapshot-id": 101, "statistics-path": "/x", "blob-metadata": []}

UPDATES: list[Json] = [
    *appended(200, 2, 101),
    {"action": "assign-uuid", "uuid": "x"},
    {"action": "upgrade-format-version", "format-version": 3},
    {"action": "add-schema", "schema": {**TRIPS, "identifier-field-ids": []}},
    {"action": "set-current-schema", "schema-id": 0},
    {"action": "remove-schemas", "schema-ids": [3]},
    {"action": "add-spec", "spec": BY_DAY},
    {"action": "set-default-spec", "spec-id": 0},
    {"action": "remove-partition-specs", "spec-ids": [3]},
    {"action": "add-sort-order", "sort-order": {"order-id": 1, "fields": [KEY]}},
    {"action": "set-default-sort-order", "sort-order-id": 0},
    {"action": "remove-snapshots", "snapshot-ids": [101]},
    {"action": "remove-snapshot-ref", "ref-name": "main"},
    {"action": "set-location", "location": "/x"},
    {"action": "set-properties", "updates": {"a": "b", "format-version": "2"}},
    {"action": "remove-properties", "removals": ["a"]},
    {"action": "set-statistics", "statistics": FILE},
    {"action": "remove-statistics", "snapshot-id": 101},
    {"action": "set-partition-statistics", "partition-statistics": FILE},
    {"action": "remove-partition-statistics", "snapshot-id": 101},
    {"action": "add-encryption-key", "encryption-key": {"key-id": "k"}},
    {"action": "remove-encryption-key", "key-id": "k"},
]
VIEW_UPDATES: list[Json] = [
    *replaced(2, sql("SELECT 2 AS x")),
    {"action": "add-schema", "schema": TRIPS},
    {"action": "assign-uuid", "uuid": "x"},
    {"action": "upgrade-format-version", "format-version": 1},
    {"action": "set-location", "location": "/x"},
    {"action": "set-properties", "updates": {"version.history.num-entries": "2"}},
    {"action": "remove-properties", "removals": ["a"]},
]

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([2**31, 2**63, -(2**63), 10**30]),
    st.floats(allow_nan=False),
    st.text(max_size=3),
    st.sampled_from(["int", "struct", "list", "map", "day", "bucket[2]", "tag", "main", "3"]),
    st.lists(st.integers(-1, 3), max_size=2),
    st.lists(st.text(max_size=2), max_size=2),
    st.dictionaries(st.sampled_from(["type", "fields", "id", "name"]), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    found = [path] if path else []
    items: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else []
    for key, inner in list(enumerate(value)) if isinstance(value, list) else items:
        found += places(inner, (*path, key))
    return found


@st.composite
def damaged(draw: st.DrawFn, wholes: list[Json]) -> Json:
    """An update with something in it missing or replaced."""
    made = copy.deepcopy(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(places(made) or [("action",)]))
        holder: Any = made
        for step in path[:-1]:
            holder = holder[step]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder.pop(path[-1], None)
        else:
            holder[path[-1]] = draw(JUNK)
    return made


@given(st.lists(damaged(UPDATES), min_size=1, max_size=3), st.sampled_from([0, 1, 2]))
@settings(max_examples=400, deadline=None)
@example([{"action": "add-snapshot", "snapshot": {"snapshot-id": 1, "timestamp-ms": 1}}], 1)
def test_damaged_updates_of_a_table_are_applied_or_refused(updates: list[Json], kind: int) -> None:
    base = (None, with_rows(), table(properties={"format-version": "3"}))[kind]
    try:
        apply_updates(base, updates, now_ms=NOW_MS)
    except LakeholdError as error:
        assert error.http_status in (400, 409)


@given(st.lists(damaged(VIEW_UPDATES), min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_damaged_updates_of_a_view_are_applied_or_refused(updates: list[Json]) -> None:
    try:
        apply_view_updates(view(), updates, now_ms=NOW_MS)
    except LakeholdError as error:
        assert error.http_status == 400


@given(damaged([*HOLDING, *FAILING]))
@settings(max_examples=200, deadline=None)
def test_damaged_requirements_are_met_or_refused(requirement: Json) -> None:
    try:
        check_requirements(with_rows(2), [requirement])
    except LakeholdError as error:
        assert error.http_status in (400, 409)
