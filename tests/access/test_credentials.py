"""Tokens and the one-time secret."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from access.hand_clock import KEY, HandClock
from lakehold.access import Access, credentials, throttle
from lakehold.access.secret import Secret, identity_of
from lakehold.access.throttle import Throttle
from lakehold.errors import (
    InvalidName,
    InvalidRequest,
    NotAuthenticated,
    PermissionDenied,
    TooManyRequests,
    UndefinedObject,
)
from lakehold.identity import Principal
from lakehold.state import Database

HOUR = timedelta(hours=1)


def token_of(access: Access, name: str, expires_in: timedelta | None = None) -> str:
    principal = access.principal(name)
    return access.create_token(name, name="test", expires_in=expires_in, by=principal)


def id_of(token: str) -> UUID:
    found = identity_of(token)
    assert found is not None
    return found


def refused(access: Access, token: str) -> bool:
    try:
        access.authenticate(token)
    except NotAuthenticated:
        return True
    return False


class TestAToken:
    def test_is_its_principals(self, database: Database, started: Access) -> None:
        with database.transaction() as conn:
            started.create_role(conn, "reader")
            started.grant_role(conn, "reader", to_user="ann")
        found = started.authenticate(token_of(started, "ann"))
        assert (found.name, found.roles) == ("ann", frozenset({"reader"}))
        assert found.id == started.principal("ann").id

    def test_has_192_bits_of_its_own(self) -> None:
        made = {Secret.new().text for _ in range(100)}
        assert len(made) == 100
        assert all(len(bytes.fromhex(text.split("_")[2])) == 24 for text in made)

    def test_is_nowhere_in_postgresql(self, database: Database, started: Access) -> None:
        token = token_of(started, "ann")
        with database.transaction() as conn:
            row = conn.execute("SELECT string_agg(t::text, ' ') FROM access.token t").fetchone()
        assert row is not None
        assert id_of(token).hex in row[0].replace("-", "")
        assert token.split("_")[2] not in row[0]

    @pytest.mark.parametrize(
        "change",
        [
            lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
            lambda token: token.upper(),
            lambda token: token + "\n",
            lambda token: token + "0",
            lambda token: token.replace("lh_", "lh_{") + "}",
            lambda token: f"lh_{uuid4().hex}_{token.split('_')[2]}",
            lambda token: "",
            lambda token: "\0",
            lambda token: "lh_\ud800_",
            lambda token: "x" * 1_000_000,
        ],
    )
    def test_that_was_changed_is_refused(self, started: Access, change) -> None:  # type: ignore[no-untyped-def]
        assert refused(started, change(token_of(started, "ann")))

    def test_of_another_platforms_key_is_refused(
        self, database: Database, started: Access, clock: HandClock
    ) -> None:
        token = token_of(started, "ann")
        assert refused(Access(database, clock, b"x" * 32), token)

    def test_expires_at_its_moment_also_when_it_was_seen_just_before(
        self, started: Access, clock: HandClock
    ) -> None:
        token = token_of(started, "ann", HOUR)
        clock.move(HOUR - timedelta(microseconds=1))
        assert not refused(started, token)
        clock.move(timedelta(microseconds=1))
        assert refused(started, token)

    @pytest.mark.parametrize("life", [timedelta(0), -HOUR, timedelta.max])
    def test_expires_in_the_future_and_not_after_the_end_of_time(
        self, started: Access, life: timedelta
    ) -> None:
        with pytest.raises(InvalidRequest):
            token_of(started, "ann", life)

    def test_that_was_revoked_is_refused_at_once(self, started: Access) -> None:
        token = token_of(started, "ann")
        assert not refused(started, token)
        started.revoke_token(id_of(token), by=started.principal("ann"))
        assert refused(started, token)

    def test_that_another_platform_revoked_is_refused_within_a_second(
        self, database: Database, started: Access, clock: HandClock
    ) -> None:
        token = token_of(started, "ann")
        assert not refused(started, token)
        other = Access(database, clock, KEY)
        other.revoke_token(id_of(token), by=started.principal("ann"))
        assert credentials.CACHE_S <= 1.0
        time.sleep(credentials.CACHE_S + 0.05)
        assert refused(started, token)

    def test_is_asked_for_once_a_second(self, started: Access) -> None:
        token = token_of(started, "ann")
        assert started.authenticate(token) is started.authenticate(token)

    def test_that_is_checked_while_it_is_revoked_is_not_remembered(
        self, started: Access, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = token_of(started, "ann")
        check = started._check

        def slowly(*given):  # type: ignore[no-untyped-def]
            row = check(*given)
            monkeypatch.setattr(started, "_check", check)
            started.revoke_token(id_of(token), by=started.principal("ann"))
            return row

        monkeypatch.setattr(started, "_check", slowly)
        started.authenticate(token)
        assert refused(started, token)

    def test_of_a_dropped_user_is_refused_also_for_one_of_the_same_name(
        self, database: Database, started: Access
    ) -> None:
        token = token_of(started, "ann")
        before = started.authenticate(token)
        with database.transaction() as conn:
            started.drop_user(conn, "ann")
            started.create_user(conn, "ann")
        started.forget()
        assert refused(started, token)
        assert started.principal("ann").id != before.id

    def test_says_when_it_was_used_last_to_the_minute(
        self, started: Access, clock: HandClock
    ) -> None:
        ann = started.principal("ann")
        token = token_of(started, "ann")
        (row,) = started.tokens(by=ann)
        assert row.last_used_at is None
        first = clock.now
        started.authenticate(token)
        clock.move(timedelta(seconds=59))
        started.forget()
        started.authenticate(token)
        assert started.tokens(by=ann)[0].last_used_at == first
        clock.move(timedelta(seconds=1))
        started.forget()
        started.authenticate(token)
        assert started.tokens(by=ann)[0].last_used_at == clock.now

    def test_survives_a_second_platform_with_the_same_key(
        self, database: Database, started: Access, clock: HandClock
    ) -> None:
        token = token_of(started, "ann")
        assert Access(database, clock, KEY).authenticate(token).name == "ann"


class TestOthersTokens:
    def test_are_an_administrators_to_make_see_and_revoke(self, started: Access) -> None:
        admin = started.principal("admin")
        token = started.create_token("ANN", name="for ann", expires_in=None, by=admin)
        assert started.authenticate(token).name == "ann"
        assert [row.principal for row in started.tokens(by=admin)] == ["ann"]
        started.revoke_token(id_of(token), by=admin)
        assert refused(started, token)
        assert started.tokens(by=admin) == []

    def test_are_nobody_elses(self, started: Access) -> None:
        bob, token = started.principal("bob"), token_of(started, "ann")
        assert started.tokens(by=bob) == []
        with pytest.raises(UndefinedObject):
            started.revoke_token(id_of(token), by=bob)
        with pytest.raises(PermissionDenied):
            started.create_token("ann", name="mine", expires_in=None, by=bob)
        assert not refused(started, token)

    def test_do_not_tell_which_users_there_are(self, started: Access) -> None:
        bob = started.principal("bob")
        with pytest.raises(PermissionDenied):
            started.create_token("nobody", name="mine", expires_in=None, by=bob)
        with pytest.raises(UndefinedObject, match="nobody"):
            started.create_token(
                "nobody", name="mine", expires_in=None, by=started.principal("admin")
            )

    def test_are_also_for_who_is_administrator_through_another_role(
        self, database: Database, started: Access
    ) -> None:
        with database.transaction() as conn:
            started.create_role(conn, "operations")
            started.grant_role(conn, "admin", to_role="operations")
            started.grant_role(conn, "operations", to_user="bob")
        bob = started.principal("bob")
        started.create_token("ann", name="for ann", expires_in=None, by=bob)
        assert len(started.tokens(by=bob)) == 1

    def test_are_not_for_one_who_has_the_name_of_a_dropped_user(
        self, database: Database, started: Access
    ) -> None:
        old = started.principal("ann")
        with database.transaction() as conn:
            started.drop_user(conn, "ann")
            started.create_user(conn, "ann")
        with pytest.raises(PermissionDenied):
            started.create_token("ann", name="mine", expires_in=None, by=old)


class TestAShortLivedToken:
    def test_ends_by_itself(self, started: Access, clock: HandClock) -> None:
        token = started.issue_access_token(started.principal("ann"), 60)
        assert started.authenticate(token).name == "ann"
        assert started.tokens(by=started.principal("ann")) == []
        clock.move(timedelta(seconds=60))
        assert refused(started, token)

    def test_is_revoked_with_the_one_that_it_was_made_from(self, started: Access) -> None:
        ann, token = started.principal("ann"), token_of(started, "ann")
        short = started.issue_access_token(ann, 3600, made_from=token)
        renewed = started.issue_access_token(ann, 3600, made_from=short)
        assert not refused(started, renewed)
        started.revoke_token(id_of(token), by=ann)
        assert refused(started, short)
        assert refused(started, renewed)
        with pytest.raises(NotAuthenticated):
            started.issue_access_token(ann, 3600, made_from=renewed)

    def test_expires_with_the_one_that_it_was_made_from(
        self, started: Access, clock: HandClock
    ) -> None:
        ann, token = started.principal("ann"), token_of(started, "ann", HOUR)
        short = started.issue_access_token(ann, 7200, made_from=token)
        clock.move(HOUR)
        assert refused(started, short)

    def test_of_a_principal_that_is_gone_is_not_made(self, started: Access) -> None:
        with pytest.raises(NotAuthenticated):
            started.issue_access_token(Principal(uuid4(), "ghost"), 60)

    def test_is_removed_a_day_after_its_end(
        self, database: Database, started: Access, clock: HandClock
    ) -> None:
        ann = started.principal("ann")
        for _ in range(3):
            started.issue_access_token(ann, 60)
        clock.move(timedelta(days=2))
        started.issue_access_token(ann, 60)
        with database.transaction() as conn:
            row = conn.execute("SELECT count(*) FROM access.token WHERE kind = 'access'")
            assert row.fetchone() == (1,)


class TestTheOneTimeSecret:
    def test_is_made_at_the_first_start_only(self, access: Access) -> None:
        assert access.bootstrap() is not None
        assert access.bootstrap() is None

    def test_is_made_once_also_if_several_platforms_start_at_once(
        self, database: Database, clock: HandClock
    ) -> None:
        made: list[str | None] = []
        starts = [
            threading.Thread(target=lambda: made.append(Access(database, clock, KEY).bootstrap()))
            for _ in range(4)
        ]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert len(made) == 4
        assert len([secret for secret in made if secret is not None]) == 1

    def test_becomes_a_token_of_the_administrator_once(self, access: Access) -> None:
        secret = access.bootstrap()
        assert secret is not None
        token = access.exchange(secret, "laptop")
        assert access.authenticate(token).roles == {"admin"}
        with pytest.raises(NotAuthenticated):
            access.exchange(secret, "again")

    def test_is_used_once_also_at_the_same_time(self, access: Access) -> None:
        secret = access.bootstrap()
        assert secret is not None
        outcomes: list[bool] = []

        def exchange() -> None:
            try:
                access.exchange(secret, "laptop")
                outcomes.append(True)
            except NotAuthenticated:
                outcomes.append(False)

        tries = [threading.Thread(target=exchange) for _ in range(8)]
        for one in tries:
            one.start()
        for one in tries:
            one.join()
        assert sorted(outcomes) == [False] * 7 + [True]

    def test_is_no_token_and_a_token_is_no_secret(self, access: Access) -> None:
        secret = access.bootstrap()
        assert secret is not None
        assert refused(access, secret)
        token = access.exchange(secret, "laptop")
        with pytest.raises(NotAuthenticated):
            access.exchange(token, "again")

    def test_is_not_used_up_by_a_name_that_is_none(self, access: Access) -> None:
        secret = access.bootstrap()
        assert secret is not None
        with pytest.raises(InvalidName):
            access.exchange(secret, "")
        assert access.exchange(secret, "laptop")

    def test_made_anew_kills_the_older_one_and_no_token(self, access: Access) -> None:
        first = access.bootstrap()
        assert first is not None
        second = access.reset_bootstrap()
        with pytest.raises(NotAuthenticated):
            access.exchange(first, "laptop")
        token = access.exchange(second, "laptop")
        access.reset_bootstrap()
        assert not refused(access, token)

    def test_made_anew_brings_back_an_administrator_that_was_dropped(
        self, database: Database, started: Access
    ) -> None:
        with database.transaction() as conn:
            started.grant_role(conn, "admin", to_user="ann")
            started.drop_user(conn, "admin")
        token = started.exchange(started.reset_bootstrap(), "laptop")
        found = started.authenticate(token)
        assert (found.name, found.roles) == ("admin", frozenset({"admin"}))

    def test_is_not_made_again_because_tokens_are_gone(
        self, database: Database, started: Access
    ) -> None:
        with database.transaction() as conn:
            started.grant_role(conn, "admin", to_user="ann")
            started.drop_user(conn, "admin")
        assert started.bootstrap() is None


class TestFailures:
    def test_are_throttled_by_address(self, started: Access) -> None:
        token = token_of(started, "ann")
        for _ in range(throttle.FAILURES_MAX):
            with pytest.raises(NotAuthenticated):
                started.authenticate("lh_x_y", "10.0.0.1")
        with pytest.raises(TooManyRequests) as caught:
            started.authenticate(token, "10.0.0.1")
        assert 1 <= caught.value.retry_after_s <= throttle.WINDOW_S + 1
        assert started.authenticate(token, "10.0.0.2").name == "ann"
        assert started.authenticate(token).name == "ann"

    def test_are_forgiven_after_a_minute(self) -> None:
        now = [0.0]
        guard = Throttle(lambda: now[0])
        for _ in range(throttle.FAILURES_MAX):
            guard.failed("here")
        with pytest.raises(TooManyRequests):
            guard.check("here")
        now[0] = throttle.WINDOW_S
        guard.check("here")

    def test_take_bounded_memory(self) -> None:
        guard = Throttle()
        for number in range(throttle.ADDRESSES_MAX + 50):
            guard.failed(str(number))
        for _ in range(1_000):
            guard.failed("one")
        assert len(guard._failures) == throttle.ADDRESSES_MAX
        assert len(guard._failures["one"]) == throttle.FAILURES_MAX
