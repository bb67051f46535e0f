"""What holds for every policy, whatever was granted (invariant 2)."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from lakehold.policy import (
    Decision,
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
    FIELDS,
    ROLES,
    any_facts,
    any_grant,
    any_inheritance,
    privileges,
    role_sets,
    schema,
    table,
    targets,
    usual_role_sets,
)


def allows(decision: Decision, field_id: int) -> bool:
    return decision.allowed and (decision.columns is None or field_id in decision.columns)


def can_use(facts: Facts, roles: frozenset[str], target: Target) -> bool:
    """USAGE as the rules state it, said anew."""
    held = facts.effective_roles(roles)
    return any(
        grant.role in held
        and grant.object_id in (None, target.schema_id)
        and grant.privilege in (Privilege.USAGE, Privilege.OWNERSHIP)
        for grant in facts.grants
    )


@given(any_inheritance(), usual_role_sets, privileges, targets)
def test_without_a_grant_nothing_is_allowed_and_nothing_is_visible(
    inherits: dict[str, set[str]],
    roles: frozenset[str],
    privilege: Privilege,
    target: Target,
) -> None:
    facts = Facts.of(1, inherits, ())
    assert not decide(facts, roles, privilege, target).allowed
    assert not may_grant(facts, roles, privilege, target).allowed
    assert visible(facts, roles, target) == (target.kind is ObjectKind.LAKE)


@given(any_facts(), privileges, targets)
def test_roles_that_hold_nothing_get_no_more_than_everybody(
    facts: Facts, privilege: Privilege, target: Target
) -> None:
    stranger = decide(facts, frozenset({"stranger"}), privilege, target)
    everybody = decide(facts, frozenset(), privilege, target)
    assert (stranger.allowed, stranger.columns) == (
        everybody.allowed,
        everybody.columns,
    )


@given(any_facts(), any_grant(), role_sets, privileges, targets)
def test_one_more_grant_never_takes_anything_away(
    facts: Facts,
    grant: Grant,
    roles: frozenset[str],
    privilege: Privilege,
    target: Target,
) -> None:
    more = Facts(2, facts.inherits, (*facts.grants, grant))
    before, after = (decide(each, roles, privilege, target) for each in (facts, more))
    assert all(allows(after, field) for field in FIELDS if allows(before, field))
    assert visible(more, roles, target) or not visible(facts, roles, target)
    assert (
        may_grant(more, roles, privilege, target).allowed
        or not may_grant(facts, roles, privilege, target).allowed
    )


@given(any_facts(), role_sets, st.sampled_from(ROLES), privileges, targets)
def test_one_more_role_never_takes_anything_away(
    facts: Facts, roles: frozenset[str], role: str, privilege: Privilege, target: Target
) -> None:
    before = decide(facts, roles, privilege, target)
    after = decide(facts, roles | {role}, privilege, target)
    assert all(allows(after, field) for field in FIELDS if allows(before, field))


@given(any_facts(), st.permutations(ROLES), st.randoms(), privileges, targets)
def test_the_order_of_roles_and_grants_does_not_matter(
    facts: Facts, order: list[str], random: Random, privilege: Privilege, target: Target
) -> None:
    shuffled = list(facts.grants)
    random.shuffle(shuffled)
    other = Facts(facts.version, facts.inherits, tuple(shuffled))
    one = decide(facts, frozenset(order[:3]), privilege, target)
    assert one == decide(other, frozenset(reversed(order[:3])), privilege, target)


@given(any_facts(), usual_role_sets, privileges, targets)
def test_admin_may_everything(
    facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target
) -> None:
    admin = roles | {"admin"}
    assert decide(facts, admin, privilege, target).unrestricted
    assert may_grant(facts, admin, privilege, target).allowed
    assert visible(facts, admin, target)


@given(any_facts(), usual_role_sets, privileges, st.sampled_from(range(4)))
def test_columns_never_leak(
    facts: Facts, roles: frozenset[str], privilege: Privilege, number: int
) -> None:
    target = table(number)
    decision = decide(facts, roles, privilege, target)
    held = facts.effective_roles(roles)
    mine = [grant for grant in facts.grants if grant.role in held]
    for field_id in FIELDS:
        granted = any(
            (grant.object_id == target.id and grant.field_id in (None, field_id))
            or (grant.object_id in (None, target.schema_id) and grant.field_id is None)
            for grant in mine
            if grant.privilege in (privilege, Privilege.OWNERSHIP)
        )
        assert granted or not allows(decision, field_id)
    if decision.allowed and decision.columns is None:
        assert any(
            grant.field_id is None and grant.privilege in (privilege, Privilege.OWNERSHIP)
            for grant in mine
        )


@given(any_facts(), usual_role_sets, privileges, st.sampled_from(range(4)))
def test_without_usage_on_its_schema_a_table_is_out_of_reach(
    facts: Facts, roles: frozenset[str], privilege: Privilege, number: int
) -> None:
    target = table(number)
    if not can_use(facts, roles, target):
        assert not decide(facts, roles, privilege, target).allowed
        assert not may_grant(facts, roles, privilege, target).allowed
        assert not visible(facts, roles, target)


@given(any_facts(), usual_role_sets, privileges, st.sampled_from(range(4)))
def test_the_owner_of_a_table_or_its_schema_may_everything_on_it(
    facts: Facts, roles: frozenset[str], privilege: Privilege, number: int
) -> None:
    target = table(number)
    if decide(facts, roles, Privilege.OWNERSHIP, target).allowed:
        assert decide(facts, roles, privilege, target).unrestricted or (
            privilege is Privilege.CREATE
        )
    if decide(facts, roles, Privilege.OWNERSHIP, schema(number // 2)).allowed:
        assert decide(facts, roles, privilege, target).unrestricted
        assert may_grant(facts, roles, privilege, target).allowed


@given(any_facts(), role_sets, privileges, targets)
def test_a_table_that_may_be_used_is_visible(
    facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target
) -> None:
    if target.kind in (ObjectKind.TABLE, ObjectKind.VIEW) and privilege not in (
        Privilege.USAGE,
        Privilege.CREATE,
    ):
        assert visible(facts, roles, target) or not decide(facts, roles, privilege, target).allowed


@given(any_facts(), usual_role_sets, privileges, targets)
def test_every_decision_has_a_reason_and_a_refusal_names_no_role(
    facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target
) -> None:
    decision = decide(facts, roles, privilege, target)
    assert decision.reasons
    if not decision.allowed:
        assert not any("role" in reason for reason in decision.reasons)


@given(any_facts(), role_sets, privileges, targets)
def test_a_remembered_answer_is_the_same_answer(
    facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target
) -> None:
    fresh = Facts(facts.version, facts.inherits, facts.grants)
    first = decide(facts, roles, privilege, target)
    assert decide(facts, roles, privilege, target) is first
    assert decide(fresh, roles, privilege, target) == first
