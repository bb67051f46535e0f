"""Access against a model: whatever is granted and revoked, decisions are as the model's."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehold.access import Access
from lakehold.policy import Facts, Grant, ObjectKind, Privilege
from lakehold.state import Database

ROLES = ("a", "b", "c")
OBJECTS = (
    (ObjectKind.LAKE, None),
    (ObjectKind.SCHEMA, UUID(int=1)),
    (ObjectKind.TABLE, UUID(int=2)),
)
FIELDS = (1, 2)

_on = st.sampled_from(OBJECTS)
_role = st.sampled_from(ROLES)
_privilege = st.sampled_from(list(Privilege))
_column = st.tuples(
    st.sampled_from([Privilege.SELECT, Privilege.UPDATE]),
    st.just(OBJECTS[2]),
    st.lists(st.sampled_from(FIELDS), unique=True, max_size=2),
)
_object = st.tuples(_privilege, _on, st.just([]))
_change = st.tuples(
    st.sampled_from(["grant", "revoke"]), _role, st.one_of(_object, _column), st.booleans()
)
_drop = st.tuples(st.just("drop"), st.just(""), st.just((None, OBJECTS[2], [])), st.just(False))
_steps = st.lists(st.tuples(st.one_of(_change, _drop), st.booleans()), max_size=12)

Model = dict[tuple[str, Privilege, ObjectKind, UUID | None, int | None], bool]


def change_model(model: Model, step: Any) -> None:
    what, role, (privilege, (kind, object_id), fields), option = step
    if what == "grant":
        for field in fields or [None]:
            key = (role, privilege, kind, object_id, field)
            model[key] = model.get(key, False) or option
        return
    for key in list(model):
        same = key[3] == object_id and (what == "drop" or key[:2] == (role, privilege))
        if same and (what == "drop" or not fields or key[4] in fields):
            del model[key]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_steps)
def test_facts_are_what_was_granted_and_not_revoked(
    database: Database, started: Access, steps: list[tuple[Any, bool]]
) -> None:
    class RolledBack(Exception):
        pass

    model: Model = {}
    with database.transaction() as conn:
        conn.execute("DELETE FROM access.privilege")
        for role in ROLES:
            if (role, ()) not in started.roles(conn):
                started.create_role(conn, role)
    for step, commits in steps:
        what, role, (privilege, (kind, object_id), fields), option = step
        before = dict(model)
        change_model(model, step)
        try:
            with database.transaction() as conn:
                if what == "grant":
                    started.grant(conn, role, privilege, kind, object_id, fields, option)
                elif what == "revoke":
                    started.revoke(conn, role, privilege, kind, object_id, fields)
                else:
                    started.on_dropped(conn, [object_id])
                assert as_model(started.facts(conn)) == model
                if not commits:
                    raise RolledBack
        except RolledBack:
            model = before
        with database.transaction() as conn:
            assert as_model(started.facts(conn)) == model


def as_model(facts: Facts) -> Model:
    def key(grant: Grant) -> tuple[str, Privilege, ObjectKind, UUID | None, int | None]:
        return grant.role, grant.privilege, grant.kind, grant.object_id, grant.field_id

    return {key(grant): grant.grant_option for grant in facts.grants}
