"""The rules of access, each by example."""

from __future__ import annotations

import time
from uuid import UUID

import pytest

from lakehold.policy import (
    SYSTEM_SCHEMA_ID,
    Facts,
    Grant,
    ObjectKind,
    Privilege,
    Target,
    decide,
    may_grant,
    visible,
)
from policy.facts import (
    LAKE,
    facts_of,
    on_lake,
    on_schema,
    on_table,
    schema,
    table,
)

P = Privilege
READER = frozenset({"reader"})
ANALYST = frozenset({"analyst"})
USAGE = on_schema("reader", P.USAGE)


def test_a_granted_privilege_is_allowed_and_no_other() -> None:
    facts = facts_of(USAGE, on_table("reader", P.SELECT))
    assert decide(facts, READER, P.SELECT, table(0)).unrestricted
    for other in (P.INSERT, P.UPDATE, P.DELETE, P.OWNERSHIP):
        assert not decide(facts, READER, other, table(0)).allowed
    assert not decide(facts, READER, P.SELECT, table(1)).allowed


def test_what_is_granted_to_public_is_everybodys() -> None:
    facts = facts_of(on_schema("public", P.USAGE), on_table("public", P.SELECT))
    assert decide(facts, frozenset(), P.SELECT, table(0)).allowed
    assert decide(facts, frozenset({"nobody knows"}), P.SELECT, table(0)).allowed


def test_a_role_has_what_it_inherits_and_not_the_other_way_round() -> None:
    facts = facts_of(USAGE, on_table("reader", P.SELECT), analyst=("staff",), staff=("reader",))
    decision = decide(facts, ANALYST, P.SELECT, table(0))
    assert decision.reasons == ("SELECT on the table through role analyst, inherited from reader",)
    other = facts_of(
        on_schema("analyst", P.USAGE),
        on_table("analyst", P.SELECT),
        analyst=("reader",),
    )
    assert not decide(other, READER, P.SELECT, table(0)).allowed


def test_a_role_that_inherits_admin_is_admin() -> None:
    assert decide(facts_of(analyst=("admin",)), ANALYST, P.OWNERSHIP, LAKE).allowed


def test_a_circle_of_roles_ends() -> None:
    facts = facts_of(analyst=("reader",), reader=("analyst",))
    assert facts.effective_roles(ANALYST) == {"analyst", "reader", "public"}


def test_column_grants_add_up_over_roles() -> None:
    facts = facts_of(
        USAGE,
        on_table("reader", P.SELECT, field_id=1),
        on_table("analyst", P.SELECT, field_id=3),
        analyst=("reader",),
    )
    assert decide(facts, READER, P.SELECT, table(0)).columns == {1}
    decision = decide(facts, ANALYST, P.SELECT, table(0))
    assert decision.columns == {1, 3}
    assert decision.reasons == (
        "SELECT on 2 columns through role analyst and role analyst, inherited from reader",
    )


def test_a_grant_on_the_table_outweighs_those_on_columns() -> None:
    facts = facts_of(USAGE, on_table("reader", P.SELECT), on_table("reader", P.SELECT, field_id=1))
    assert decide(facts, READER, P.SELECT, table(0)).columns is None


def test_a_privilege_on_columns_gives_no_other_privilege_on_them() -> None:
    facts = facts_of(USAGE, on_table("reader", P.UPDATE, field_id=1))
    assert not decide(facts, READER, P.SELECT, table(0)).allowed


@pytest.mark.parametrize("field_id", [None, 1])
def test_usage_is_needed_besides(field_id: int | None) -> None:
    facts = facts_of(on_table("reader", P.SELECT, field_id=field_id))
    decision = decide(facts, READER, P.SELECT, table(0))
    assert not decision.allowed
    assert decision.reasons == ("USAGE on the schema is not granted",)
    assert not visible(facts, READER, table(0))


def test_usage_on_another_schema_does_not_help() -> None:
    facts = facts_of(on_schema("reader", P.USAGE, 1), on_table("reader", P.SELECT))
    assert not decide(facts, READER, P.SELECT, table(0)).allowed


def test_usage_on_the_lake_is_usage_on_every_schema() -> None:
    facts = facts_of(on_lake("reader", P.USAGE), on_table("reader", P.SELECT))
    assert decide(facts, READER, P.SELECT, table(0)).allowed
    assert decide(facts, READER, P.USAGE, schema(1)).allowed


def test_usage_alone_shows_the_schema_and_none_of_its_tables() -> None:
    facts = facts_of(USAGE)
    assert visible(facts, READER, schema(0))
    assert not visible(facts, READER, schema(1))
    assert not visible(facts, READER, table(0))


def test_a_grant_on_a_schema_covers_its_tables_also_those_to_come() -> None:
    facts = facts_of(USAGE, on_schema("reader", P.SELECT))
    to_come = Target(ObjectKind.TABLE, UUID(int=999), schema(0).id)
    for target in (table(0), table(1), to_come):
        assert decide(facts, READER, P.SELECT, target).allowed
        assert visible(facts, READER, target)
    assert not decide(facts, READER, P.SELECT, table(2)).allowed
    assert not decide(facts, READER, P.INSERT, table(0)).allowed


def test_a_grant_on_the_lake_covers_all_schemas() -> None:
    facts = facts_of(on_lake("reader", P.USAGE), on_lake("reader", P.SELECT))
    assert all(decide(facts, READER, P.SELECT, table(n)).allowed for n in range(4))
    assert visible(facts, READER, schema(1))


def test_select_on_the_lake_without_usage_shows_nothing() -> None:
    facts = facts_of(on_lake("reader", P.SELECT))
    assert not decide(facts, READER, P.SELECT, table(0)).allowed
    assert not visible(facts, READER, table(0))
    assert not visible(facts, READER, schema(0))


def test_create_on_the_lake_makes_schemas_and_on_a_schema_tables() -> None:
    lake = facts_of(on_lake("reader", P.CREATE), USAGE)
    assert decide(lake, READER, P.CREATE, LAKE).allowed
    assert not decide(lake, READER, P.CREATE, schema(0)).allowed
    assert not visible(lake, READER, table(0))
    one = facts_of(on_schema("reader", P.CREATE), USAGE)
    assert decide(one, READER, P.CREATE, schema(0)).allowed
    assert not decide(one, READER, P.CREATE, schema(1)).allowed
    assert not decide(one, READER, P.CREATE, LAKE).allowed
    assert not visible(one, READER, table(0))


def test_create_in_a_schema_needs_usage() -> None:
    facts = facts_of(on_schema("reader", P.CREATE))
    assert not decide(facts, READER, P.CREATE, schema(0)).allowed


def test_the_owner_of_a_schema_needs_no_usage_and_owns_its_tables() -> None:
    facts = facts_of(on_schema("reader", P.OWNERSHIP))
    for privilege in Privilege:
        assert decide(facts, READER, privilege, schema(0)).allowed
        assert decide(facts, READER, privilege, table(0)).allowed
        assert not decide(facts, READER, privilege, table(2)).allowed


def test_the_owner_of_a_table_owns_nothing_else() -> None:
    facts = facts_of(USAGE, on_table("reader", P.OWNERSHIP))
    assert decide(facts, READER, P.DELETE, table(0)).allowed
    assert not decide(facts, READER, P.SELECT, table(1)).allowed
    assert not decide(facts, READER, P.CREATE, schema(0)).allowed


def test_everybody_may_use_the_platforms_own_schema_and_sees_the_ledger_only_if_granted() -> None:
    own = Target(ObjectKind.SCHEMA, SYSTEM_SCHEMA_ID, SYSTEM_SCHEMA_ID)
    ledger = Target(ObjectKind.TABLE, UUID(int=11), SYSTEM_SCHEMA_ID)
    nothing = facts_of()
    assert decide(nothing, READER, P.USAGE, own).allowed
    assert visible(nothing, READER, own)
    assert not decide(nothing, READER, P.CREATE, own).allowed
    assert not decide(nothing, READER, P.SELECT, ledger).allowed
    assert not visible(nothing, READER, ledger)
    granted = facts_of(Grant("reader", P.SELECT, ObjectKind.TABLE, ledger.id))
    assert decide(granted, READER, P.SELECT, ledger).allowed


class TestGranting:
    def test_is_for_owners_of_the_object_its_schema_and_the_lake(self) -> None:
        of_table = facts_of(USAGE, on_table("reader", P.OWNERSHIP))
        assert may_grant(of_table, READER, P.SELECT, table(0)).allowed
        assert not may_grant(of_table, READER, P.SELECT, table(1)).allowed
        assert not may_grant(of_table, READER, P.USAGE, schema(0)).allowed
        of_schema = facts_of(on_schema("reader", P.OWNERSHIP))
        assert may_grant(of_schema, READER, P.SELECT, table(1)).allowed
        assert may_grant(of_schema, READER, P.USAGE, schema(0)).allowed
        assert not may_grant(of_schema, READER, P.USAGE, schema(1)).allowed
        of_lake = facts_of(on_lake("reader", P.OWNERSHIP))
        assert may_grant(of_lake, READER, P.USAGE, schema(1)).allowed
        assert may_grant(of_lake, READER, P.CREATE, LAKE).allowed

    def test_on_what_is_to_come_is_for_the_schemas_owner(self) -> None:
        to_come = Target(ObjectKind.TABLE, None, schema(0).id)
        assert may_grant(
            facts_of(on_schema("reader", P.OWNERSHIP)), READER, P.SELECT, to_come
        ).allowed
        assert not may_grant(
            facts_of(on_schema("reader", P.OWNERSHIP, 1)), READER, P.SELECT, to_come
        ).allowed

    def test_the_option_is_for_the_same_privilege_only(self) -> None:
        option = Grant("reader", P.SELECT, ObjectKind.TABLE, table(0).id, grant_option=True)
        facts = facts_of(USAGE, option)
        assert may_grant(facts, READER, P.SELECT, table(0)).allowed
        assert not may_grant(facts, READER, P.INSERT, table(0)).allowed
        assert not may_grant(facts, READER, P.OWNERSHIP, table(0)).allowed
        assert not may_grant(facts, READER, P.SELECT, table(1)).allowed

    def test_having_a_privilege_is_not_being_able_to_give_it(self) -> None:
        facts = facts_of(USAGE, on_table("reader", P.SELECT))
        assert not may_grant(facts, READER, P.SELECT, table(0)).allowed

    def test_the_option_on_some_columns_is_not_one_on_the_table(self) -> None:
        option = Grant("reader", P.SELECT, ObjectKind.TABLE, table(0).id, 1, True)
        facts = facts_of(USAGE, option)
        assert not may_grant(facts, READER, P.SELECT, table(0)).allowed
        assert may_grant(facts, READER, P.SELECT, table(0), frozenset({1})).allowed
        assert not may_grant(facts, READER, P.SELECT, table(0), frozenset({1, 2})).allowed

    def test_create_on_the_lake_with_the_option_is_not_create_in_schemas(self) -> None:
        option = Grant("reader", P.CREATE, ObjectKind.LAKE, None, grant_option=True)
        facts = facts_of(USAGE, option)
        assert may_grant(facts, READER, P.CREATE, LAKE).allowed
        assert not may_grant(facts, READER, P.CREATE, schema(0)).allowed


def test_ten_thousand_grants_are_decided_in_less_than_a_tenth_of_a_millisecond() -> None:
    schemas = [UUID(int=10_000 + n) for n in range(20)]
    tables = [Target(ObjectKind.TABLE, UUID(int=20_000 + n), schemas[n % 20]) for n in range(1_000)]
    grants = [
        Grant(f"role{n % 500}", P.SELECT, ObjectKind.TABLE, tables[n % 1_000].id)
        for n in range(10_000)
    ]
    grants += [Grant("public", P.USAGE, ObjectKind.SCHEMA, each) for each in schemas]
    inherits = {f"role{n}": {f"role{n + 1}"} for n in range(499)}
    facts, roles = Facts.of(1, inherits, grants), frozenset({"role0"})
    for _ in range(2):
        started = time.perf_counter()
        for target in tables:
            assert decide(facts, roles, P.SELECT, target).allowed
            assert visible(facts, roles, target)
        seconds = time.perf_counter() - started
    assert seconds / len(tables) < 100e-6
