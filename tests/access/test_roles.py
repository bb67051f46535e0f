"""Users, roles and what roles inherit."""

from __future__ import annotations

import itertools
import threading

import pytest

from lakehold.access import Access
from lakehold.errors import (
    DuplicateObject,
    InvalidDefinition,
    InvalidName,
    LakeholdError,
    PermissionDenied,
    UndefinedObject,
)
from lakehold.state import Database


def test_names_are_unique_whatever_their_case(database: Database, started: Access) -> None:
    with database.transaction() as conn:
        started.create_role(conn, "Analyst")
        with pytest.raises(DuplicateObject, match="analyst"):
            started.create_role(conn, "analyst")
        with pytest.raises(DuplicateObject, match="ANN"):
            started.create_user(conn, "ANN")
        started.grant_role(conn, "ANALYST", to_user="Ann")
        assert started.roles_of_user(conn, "ann") == ("analyst",)
        assert ("Analyst", ()) in started.roles(conn)


def test_only_ascii_letters_have_a_case(database: Database, started: Access) -> None:
    with database.transaction() as conn:
        started.create_role(conn, "k")
        started.create_role(conn, "\u212a")  # the Kelvin sign, which str.lower makes a k
        assert len(started.roles(conn)) == 4


def test_a_duplicate_leaves_the_transaction_usable(database: Database, started: Access) -> None:
    with database.transaction() as conn:
        with pytest.raises(DuplicateObject):
            started.create_user(conn, "ann")
        started.create_user(conn, "carol")
    with database.transaction() as conn:
        assert [name for name, _ in started.users(conn)] == ["admin", "ann", "bob", "carol"]


@pytest.mark.parametrize("name", ["", "x" * 300, "a\nb", "a\0b"])
def test_names_that_are_no_names_are_refused(
    database: Database, started: Access, name: str
) -> None:
    with database.transaction() as conn:
        with pytest.raises(InvalidName):
            started.create_role(conn, name)
        with pytest.raises(InvalidName):
            started.create_user(conn, name)


@pytest.mark.parametrize("name", ["admin", "Public"])
def test_built_in_roles_cannot_be_made_or_dropped_and_inherit_nothing(
    database: Database, started: Access, name: str
) -> None:
    with database.transaction() as conn:
        started.create_role(conn, "analyst")
        with pytest.raises(DuplicateObject):
            started.create_role(conn, name)
        with pytest.raises(PermissionDenied):
            started.drop_role(conn, name)
        with pytest.raises(InvalidDefinition, match="built in"):
            started.grant_role(conn, "analyst", to_role=name)


def test_what_is_not_there_is_named(database: Database, started: Access) -> None:
    with database.transaction() as conn:
        for call in (
            lambda: started.drop_role(conn, "nobody"),
            lambda: started.drop_user(conn, "nobody"),
            lambda: started.grant_role(conn, "nobody", to_user="ann"),
            lambda: started.grant_role(conn, "public", to_user="nobody"),
            lambda: started.roles_of_user(conn, "nobody"),
            lambda: started.grants(conn, "nobody"),
        ):
            with pytest.raises(UndefinedObject, match="nobody"):
                call()
    with pytest.raises(UndefinedObject):
        started.principal("nobody")


@pytest.mark.parametrize("length", [1, 2, 3])
def test_roles_never_inherit_in_a_circle(database: Database, started: Access, length: int) -> None:
    names = [f"r{n}" for n in range(length)]
    with database.transaction() as conn:
        for name in names:
            started.create_role(conn, name)
        for member, role in itertools.pairwise(names):
            started.grant_role(conn, role, to_role=member)
        with pytest.raises(InvalidDefinition, match="circle"):
            started.grant_role(conn, names[0], to_role=names[-1])


def test_two_that_close_a_circle_at_once_cannot_both(database: Database, started: Access) -> None:
    with database.transaction() as conn:
        started.create_role(conn, "a")
        started.create_role(conn, "b")
    errors: list[LakeholdError] = []
    together = threading.Barrier(2)

    def join(role: str, member: str) -> None:
        try:
            with database.transaction() as conn:
                together.wait()
                started.grant_role(conn, role, to_role=member)
        except LakeholdError as error:
            errors.append(error)

    both = [threading.Thread(target=join, args=pair) for pair in (("a", "b"), ("b", "a"))]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert len(errors) == 1
    with database.transaction() as conn:
        assert sum(len(held) for _, held in started.roles(conn)) == 1


def test_a_dropped_role_is_nobodys(database: Database, started: Access) -> None:
    with database.transaction() as conn:
        started.create_role(conn, "a")
        started.create_role(conn, "b")
        started.grant_role(conn, "a", to_user="ann")
        started.grant_role(conn, "a", to_role="b")
        started.drop_role(conn, "A")
        assert started.roles_of_user(conn, "ann") == ()
        assert started.facts(conn).effective_roles(frozenset({"b"})) == {"b", "public"}


class TestTheLastAdministrator:
    def test_cannot_be_dropped_or_lose_the_role(self, database: Database, started: Access) -> None:
        with database.transaction() as conn:
            with pytest.raises(InvalidDefinition, match="last"):
                started.drop_user(conn, "admin")
            with pytest.raises(InvalidDefinition, match="last"):
                started.revoke_role(conn, "admin", to_user="admin")
            started.revoke_role(conn, "admin", to_user="ann")

    def test_can_go_when_there_is_another(self, database: Database, started: Access) -> None:
        with database.transaction() as conn:
            started.grant_role(conn, "admin", to_user="ann")
            started.drop_user(conn, "admin")
            with pytest.raises(InvalidDefinition, match="last"):
                started.drop_user(conn, "ann")

    def test_stays_when_two_drop_each_other_at_once(
        self, database: Database, started: Access
    ) -> None:
        with database.transaction() as conn:
            started.grant_role(conn, "admin", to_user="ann")
        together = threading.Barrier(2)
        errors: list[LakeholdError] = []

        def drop(name: str) -> None:
            try:
                with database.transaction() as conn:
                    together.wait()
                    started.drop_user(conn, name)
            except LakeholdError as error:
                errors.append(error)

        both = [threading.Thread(target=drop, args=(name,)) for name in ("admin", "ann")]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert len(errors) == 1
        with database.transaction() as conn:
            assert sum("admin" in held for _, held in started.users(conn)) == 1
