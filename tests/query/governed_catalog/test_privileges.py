"""Which privileges a commit asks for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehold.errors import InvalidDefinition, InvalidRequest
from lakehold.policy import Privilege
from lakehold.query.governed_catalog.privileges import (
    CHANGE,
    OWNERS_UPDATES,
    check_requirements_known,
    check_updates,
    table_privileges,
)

ADD = {"action": "add-snapshot", "snapshot": {"snapshot-id": 7}}
SET = {"action": "set-snapshot-ref", "ref-name": "main", "snapshot-id": 7, "type": "branch"}


def test_new_files_may_change_any_row() -> None:
    assert table_privileges([ADD, SET]) == CHANGE


def test_an_append_inserts() -> None:
    assert table_privileges([ADD, SET], appends_only=True) == {Privilege.INSERT}


@pytest.mark.parametrize("change", [{"ref-name": "b"}, {"snapshot-id": 6}, {"ref-name": None}])
def test_other_branches_and_old_snapshots_are_the_owners(change: dict[str, Any]) -> None:
    needed = table_privileges([ADD, {**SET, **change}], appends_only=True)
    assert Privilege.OWNERSHIP in needed


@given(st.lists(st.sampled_from(sorted(OWNERS_UPDATES)), min_size=1))
def test_changing_what_a_table_is_needs_its_owner(actions: list[str]) -> None:
    updates: list[dict[str, Any]] = [{"action": action} for action in actions]
    assert table_privileges([ADD, SET, *updates], appends_only=True) == {
        Privilege.INSERT,
        Privilege.OWNERSHIP,
    }


@given(st.one_of(st.none(), st.text(), st.integers()))
def test_an_unknown_update_is_refused(action: object) -> None:
    if action in OWNERS_UPDATES | {"add-snapshot", "set-snapshot-ref"}:
        return
    with pytest.raises(InvalidRequest):
        table_privileges([{"action": action}])


def test_an_unknown_requirement_is_refused() -> None:
    check_requirements_known([{"type": "assert-create"}])
    with pytest.raises(InvalidRequest):
        check_requirements_known([{"type": "assert-create"}, {"type": "x"}])


@pytest.mark.parametrize(
    "update",
    [
        {"action": "set-properties", "updates": {"a": "b", "lakehold.default.1": "f()"}},
        {"action": "remove-properties", "removals": ["lakehold.logical-type.1"]},
    ],
)
def test_the_platforms_properties_are_not_set_from_outside(update: dict[str, Any]) -> None:
    with pytest.raises(InvalidDefinition):
        check_updates([update])
