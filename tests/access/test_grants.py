"""Grants, and the facts that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import psycopg
import pytest

from access.hand_clock import KEY, HandClock
from lakehold.access import Access, GrantRow
from lakehold.errors import InvalidDefinition, UndefinedObject
from lakehold.policy import Facts, ObjectKind, Privilege, Target, decide
from lakehold.state import REPEATABLE_READ, Connection, Database

P = Privilege
SCHEMA, TABLE = uuid4(), uuid4()
ON_TABLE = Target(ObjectKind.TABLE, TABLE, SCHEMA)
READER = frozenset({"reader"})


@pytest.fixture
def granting(database: Database, started: Access) -> Access:
    with database.transaction() as conn:
        started.create_role(conn, "reader")
        started.grant(conn, "reader", P.USAGE, ObjectKind.SCHEMA, SCHEMA)
    return started


def facts_now(database: Database, access: Access) -> Facts:
    with database.transaction() as conn:
        return access.facts(conn)


def test_a_grant_counts_when_it_is_committed(database: Database, granting: Access) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "Reader", P.SELECT, ObjectKind.TABLE, TABLE)
        assert decide(granting.facts(conn), READER, P.SELECT, ON_TABLE).allowed
        assert not decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE).allowed
    assert decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE).allowed


def test_what_was_rolled_back_never_counts(database: Database, granting: Access) -> None:
    for wanted in (P.SELECT, P.INSERT):
        with pytest.raises(RuntimeError), database.transaction() as conn:
            granting.grant(conn, "reader", wanted, ObjectKind.TABLE, TABLE)
            assert decide(granting.facts(conn), READER, wanted, ON_TABLE).allowed
            raise RuntimeError
        with database.transaction() as conn:
            granting.grant(conn, "reader", P.DELETE, ObjectKind.TABLE, TABLE)
        assert not decide(facts_now(database, granting), READER, wanted, ON_TABLE).allowed


def test_a_snapshot_keeps_its_facts(database: Database, granting: Access) -> None:
    with database.transaction(isolation=REPEATABLE_READ) as conn:
        before = granting.facts(conn)
        with database.transaction() as other:
            granting.grant(other, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
        assert decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE).allowed
        assert granting.facts(conn).version == before.version
        assert not decide(granting.facts(conn), READER, P.SELECT, ON_TABLE).allowed


@pytest.mark.parametrize(
    "change",
    [
        lambda access, conn: access.grant(conn, "reader", P.SELECT, ObjectKind.LAKE, None),
        lambda access, conn: access.revoke(conn, "reader", P.USAGE, ObjectKind.SCHEMA, SCHEMA),
        lambda access, conn: access.create_role(conn, "other"),
        lambda access, conn: access.drop_role(conn, "reader"),
        lambda access, conn: access.grant_role(conn, "reader", to_user="ann"),
        lambda access, conn: access.grant_role(conn, "public", to_role="reader"),
        lambda access, conn: access.on_dropped(conn, [SCHEMA]),
    ],
)
def test_every_change_moves_the_version(
    database: Database, granting: Access, change: Callable[[Access, Connection], None]
) -> None:
    before = facts_now(database, granting)
    with database.transaction() as conn:
        change(granting, conn)
    assert facts_now(database, granting).version > before.version


def test_facts_are_loaded_once_for_a_version(database: Database, granting: Access) -> None:
    assert facts_now(database, granting) is facts_now(database, granting)


def test_another_platform_on_the_same_postgresql_sees_a_change(
    database: Database, granting: Access, clock: HandClock
) -> None:
    other = Access(database, clock, KEY)
    assert not decide(facts_now(database, other), READER, P.SELECT, ON_TABLE).allowed
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
    assert decide(facts_now(database, other), READER, P.SELECT, ON_TABLE).allowed


def test_columns_are_granted_by_field_id(database: Database, granting: Access) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE, [1, 3])
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE, [3])
    decision = decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE)
    assert decision.columns == {1, 3}
    with database.transaction() as conn:
        granting.revoke(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE, [3])
    decision = decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE)
    assert decision.columns == {1}


def test_revoking_on_the_whole_takes_the_columns_too(database: Database, granting: Access) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE, [1])
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
        granting.revoke(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
    decision = decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE)
    assert not decision.allowed


def test_revoking_a_column_leaves_the_grant_on_the_whole(
    database: Database, granting: Access
) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
        granting.revoke(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE, [1])
    decision = decide(facts_now(database, granting), READER, P.SELECT, ON_TABLE)
    assert decision.unrestricted


@pytest.mark.parametrize("privilege", [P.DELETE, P.OWNERSHIP, P.USAGE, P.CREATE])
def test_columns_have_only_some_privileges(
    database: Database, granting: Access, privilege: Privilege
) -> None:
    with database.transaction() as conn, pytest.raises(InvalidDefinition):
        granting.grant(conn, "reader", privilege, ObjectKind.TABLE, TABLE, [1])


def test_the_option_is_kept_when_granted_again_without(
    database: Database, granting: Access
) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE, grant_option=True)
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
        (row,) = granting.grants(conn, object_id=TABLE)
    assert row == GrantRow("reader", P.SELECT, ObjectKind.TABLE, TABLE, None, True, False)


def test_the_creators_role_owns_and_future_grants_come_true(
    database: Database, granting: Access
) -> None:
    view = uuid4()
    with database.transaction() as conn:
        granting.create_role(conn, "maker")
        granting.grant_future(conn, SCHEMA, P.SELECT, ObjectKind.TABLE, "reader")
        granting.grant_future(conn, SCHEMA, P.SELECT, ObjectKind.TABLE, "reader")
        granting.on_created(conn, ObjectKind.TABLE, TABLE, schema_id=SCHEMA, owner_role="Maker")
        granting.on_created(conn, ObjectKind.VIEW, view, schema_id=SCHEMA, owner_role="maker")
        on_table = granting.grants(conn, object_id=TABLE)
        on_view = granting.grants(conn, object_id=view)
    assert [(row.role, row.privilege) for row in on_table] == [
        ("maker", P.OWNERSHIP),
        ("reader", P.SELECT),
    ]
    assert [(row.role, row.privilege) for row in on_view] == [("maker", P.OWNERSHIP)]


def test_a_future_grant_that_was_taken_back_is_only_for_what_is_there(
    database: Database, granting: Access
) -> None:
    later = uuid4()
    with database.transaction() as conn:
        granting.grant_future(conn, SCHEMA, P.SELECT, ObjectKind.TABLE, "reader")
        granting.on_created(conn, ObjectKind.TABLE, TABLE, schema_id=SCHEMA, owner_role="admin")
        granting.revoke_future(conn, SCHEMA, P.SELECT, ObjectKind.TABLE, "reader")
        granting.on_created(conn, ObjectKind.TABLE, later, schema_id=SCHEMA, owner_role="admin")
        assert len(granting.grants(conn, object_id=TABLE)) == 2
        assert len(granting.grants(conn, object_id=later)) == 1


def test_an_owner_that_was_dropped_meanwhile_is_told(database: Database, granting: Access) -> None:
    with database.transaction() as conn, pytest.raises(UndefinedObject, match="gone"):
        granting.on_created(conn, ObjectKind.TABLE, TABLE, schema_id=SCHEMA, owner_role="gone")


def test_a_dropped_object_has_no_grants_and_no_future(database: Database, granting: Access) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
        granting.grant_future(conn, SCHEMA, P.SELECT, ObjectKind.TABLE, "reader")
        granting.on_dropped(conn, [SCHEMA, TABLE])
        assert granting.grants(conn) == []


def test_a_role_that_is_being_granted_to_cannot_be_dropped_meanwhile(
    database: Database, granting: Access, conninfo: str
) -> None:
    with database.transaction() as conn:
        granting.grant(conn, "reader", P.SELECT, ObjectKind.TABLE, TABLE)
        with psycopg.connect(conninfo) as other:
            other.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                granting.drop_role(other, "reader")


def test_grants_are_listed_by_role_and_by_object(database: Database, granting: Access) -> None:
    with database.transaction() as conn:
        granting.create_role(conn, "writer")
        granting.grant(conn, "writer", P.INSERT, ObjectKind.TABLE, TABLE)
        granting.grant(conn, "writer", P.USAGE, ObjectKind.LAKE, None)
        granting.grant_future(conn, SCHEMA, P.SELECT, ObjectKind.VIEW, "writer")
        of_writer = granting.grants(conn, "WRITER")
        assert [(row.object_id, row.privilege, row.future) for row in of_writer] == [
            (None, P.USAGE, False),
            *sorted([(TABLE, P.INSERT, False), (SCHEMA, P.SELECT, True)], key=_by_id),
        ]
        assert [row.role for row in granting.grants(conn, object_id=SCHEMA)] == [
            "reader",
            "writer",
        ]
        assert len(granting.grants(conn)) == 4


def _by_id(row: tuple[UUID | None, Privilege, bool]) -> bytes:
    return row[0].bytes if row[0] is not None else b""
