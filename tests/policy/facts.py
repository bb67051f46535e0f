"""Facts for policy tests, and strategies that make them."""

from __future__ import annotations

from uuid import UUID

from hypothesis import strategies as st

from lakehold.policy import Facts, Grant, ObjectKind, Privilege, Target

SCHEMAS = tuple(UUID(int=100 + n) for n in range(2))
TABLES = tuple(UUID(int=200 + n) for n in range(4))
ROLES = ("admin", "analyst", "engineer", "public", "reader", "steward")
FIELDS = (1, 2, 3)
LAKE = Target(ObjectKind.LAKE, None, None)

COLUMN_PRIVILEGES = (Privilege.SELECT, Privilege.INSERT, Privilege.UPDATE)


def schema(number: int) -> Target:
    """A schema as a target."""
    return Target(ObjectKind.SCHEMA, SCHEMAS[number], SCHEMAS[number])


def table(number: int) -> Target:
    """A table as a target: two tables in each schema."""
    return Target(ObjectKind.TABLE, TABLES[number], SCHEMAS[number // 2])


def facts_of(*grants: Grant, **inherits: tuple[str, ...]) -> Facts:
    """Facts of these grants and of these roles with what they inherit."""
    return Facts.of(1, inherits, grants)


def on_table(
    role: str, privilege: Privilege, number: int = 0, field_id: int | None = None
) -> Grant:
    """A grant on a table or a column of it."""
    return Grant(role, privilege, ObjectKind.TABLE, TABLES[number], field_id)


def on_schema(role: str, privilege: Privilege, number: int = 0) -> Grant:
    """A grant on a schema."""
    return Grant(role, privilege, ObjectKind.SCHEMA, SCHEMAS[number])


def on_lake(role: str, privilege: Privilege) -> Grant:
    """A grant on the lake."""
    return Grant(role, privilege, ObjectKind.LAKE, None)


def any_grant(roles: tuple[str, ...] = ROLES) -> st.SearchStrategy[Grant]:
    """Any grant that can be made."""
    some_role, privilege = st.sampled_from(roles), st.sampled_from(list(Privilege))
    option = st.booleans()
    of_kind = (
        st.tuples(st.just(ObjectKind.LAKE), st.none(), st.none()),
        st.tuples(st.just(ObjectKind.SCHEMA), st.sampled_from(SCHEMAS), st.none()),
        st.tuples(st.just(ObjectKind.TABLE), st.sampled_from(TABLES), st.none()),
    )
    whole = st.builds(
        lambda role, granted, on, option: Grant(role, granted, *on, option),
        some_role,
        privilege,
        st.one_of(*of_kind),
        option,
    )
    column = st.builds(
        Grant,
        some_role,
        st.sampled_from(COLUMN_PRIVILEGES),
        st.just(ObjectKind.TABLE),
        st.sampled_from(TABLES),
        st.sampled_from(FIELDS),
        option,
    )
    return st.one_of(whole, column)


def any_inheritance() -> st.SearchStrategy[dict[str, set[str]]]:
    """Any inheritance, circles included: the policy must stand them. ``admin`` is not given."""
    usual = st.sampled_from(ROLES[1:])
    return st.dictionaries(usual, st.sets(usual, max_size=3), max_size=4)


def any_facts(roles: tuple[str, ...] = ROLES) -> st.SearchStrategy[Facts]:
    """Any facts over a small lake."""
    return st.builds(Facts.of, st.just(1), any_inheritance(), st.lists(any_grant(roles)))


targets = st.sampled_from([LAKE, schema(0), schema(1), *map(table, range(4))])
role_sets = st.frozensets(st.sampled_from(ROLES), max_size=3)
usual_role_sets = st.frozensets(st.sampled_from(ROLES[1:]), max_size=3)
privileges = st.sampled_from(list(Privilege))
