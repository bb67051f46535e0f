"""Tokens: made, exchanged, checked, revoked. Only keyed hashes of them are stored."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from lakehold.access import store
from lakehold.access.secret import Secret, digest, identity_of, matches
from lakehold.access.store import SecretRow, TokenRow
from lakehold.access.throttle import Throttle
from lakehold.clock import Clock
from lakehold.errors import (
    InvalidRequest,
    NotAuthenticated,
    PermissionDenied,
    UndefinedObject,
)
from lakehold.identity import ADMIN_ROLE, Principal
from lakehold.names import check_name
from lakehold.state import Connection, Database

ADMIN_USER = "admin"
"""The user that the first start makes."""

CACHE_S = 1.0
"""How long an authentication counts without asking PostgreSQL again; so a token that was
revoked through another platform on the same PostgreSQL is refused within a second."""

CACHE_MAX = 10_000
"""Authentications that are remembered at most."""

USED_EVERY = timedelta(minutes=1)
"""How exactly ``last_used_at`` is kept."""

KEPT_AFTER_EXPIRY = timedelta(days=1)
FORGOTTEN_AT_ONCE = 100

_BOOTSTRAP_LOCK = 42420001


@dataclass(frozen=True, slots=True)
class _Known:
    """An authentication that was checked a moment ago."""

    until: float
    expires_at: datetime | None
    principal: Principal


class Credentials:
    """Tokens and the one-time secret. Thread safe.

    Args:
        key: the platform's key for secrets.
        is_admin: whether a principal is an administrator, directly or through other roles.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key: bytes,
        is_admin: Callable[[Connection, Principal], bool],
    ) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._is_admin = is_admin
        self._throttle = Throttle()
        self._known: dict[bytes, _Known] = {}
        self._forgotten = 0
        self._lock = threading.Lock()

    # --- checking ---

    def authenticate(self, token: str, address: str = "") -> Principal:
        """The principal of a token.

        Args:
            address: where it came from; failures are counted against it. Without one, not.

        Raises:
            NotAuthenticated: if it is wrong, expired or revoked; it is not said which.
            TooManyRequests: if too many tokens from the address were refused of late.
        """
        if address:
            self._throttle.check(address)
        try:
            return self._authenticate(token)
        except NotAuthenticated:
            if address:
                self._throttle.failed(address)
            raise

    def forget(self) -> None:
        """Ask PostgreSQL again about every token."""
        with self._lock:
            self._known.clear()
            self._forgotten += 1

    # --- tokens ---

    def create_token(
        self, principal: str, *, name: str, expires_in: timedelta | None, by: Principal
    ) -> str:
        """Make a token; its text is shown this once.

        Args:
            expires_in: ``None`` for never.

        Raises:
            PermissionDenied: for another's, unless ``by`` is an administrator.
            UndefinedObject: if there is no such principal.
            InvalidName, InvalidRequest
        """
        check_name(name, "token name")
        with self._database.transaction() as conn:
            found = store.principal(conn, key=store.key_of(principal))
            if (found is None or found.id != by.id) and not self._is_admin(conn, by):
                raise PermissionDenied("only an administrator makes tokens for others")
            if found is None:
                raise UndefinedObject(f"there is no user {principal}")
            return self._new(conn, found.id, name, "token", expires_in).text

    def tokens(self, *, by: Principal) -> list[TokenRow]:
        """The caller's tokens; for an administrator, everyone's. Revoked ones are left out."""
        with self._database.transaction(read_only=True) as conn:
            return store.tokens(conn, None if self._is_admin(conn, by) else by.id)

    def revoke_token(self, token_id: UUID, *, by: Principal) -> None:
        """End a token, and the short-lived ones that were made from it, at once.

        Raises:
            UndefinedObject: if there is none, or it is another's.
        """
        with self._database.transaction() as conn:
            owner = None if self._is_admin(conn, by) else by.id
            if not store.revoke_token(conn, token_id, self._clock(), owner):
                raise UndefinedObject(f"there is no token {token_id}")
        self.forget()

    def issue_access_token(
        self, principal: Principal, ttl_s: int, *, made_from: str | None = None
    ) -> str:
        """A short-lived token (RFC 6749 §4.4, §6).

        Args:
            made_from: the text of the token that it is made from; it ends when that one does.

        Raises:
            NotAuthenticated: if the principal is gone, or ``made_from`` is not good.
        """
        now = self._clock()
        with self._database.transaction() as conn:
            store.forget_expired(conn, now - KEPT_AFTER_EXPIRY, FORGOTTEN_AT_ONCE)
            root: UUID | None = None
            if made_from is not None:
                row = self._check(conn, made_from, ("token", "access"))
                root = row.root or row.id
            life = timedelta(seconds=ttl_s)
            return self._new(conn, principal.id, "oauth", "access", life, root).text

    # --- the first start ---

    def bootstrap(self) -> str | None:
        """At the first start, make the administrator and its one-time secret; later ``None``."""
        with self._database.transaction() as conn:
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [_BOOTSTRAP_LOCK])
            return None if store.any_principal(conn) else self._one_time(conn)

    def reset_bootstrap(self) -> str:
        """A new one-time secret for the administrator; older ones are dead.

        If there is no user ``admin`` any more, or it lost its role, it is made anew: whoever
        may call this holds the platform's folder.
        """
        with self._database.transaction() as conn:
            conn.execute("SELECT pg_advisory_xact_lock(%s)", [_BOOTSTRAP_LOCK])
            store.revoke_kind(conn, "bootstrap", self._clock())
            secret = self._one_time(conn)
        self.forget()
        return secret

    def exchange(self, secret: str, token_name: str) -> str:
        """Use up a one-time secret for a token.

        Raises:
            NotAuthenticated: if it is wrong, or was used before.
            InvalidName: if the token cannot be called so; the secret is not used up.
        """
        check_name(token_name, "token name")
        with self._database.transaction() as conn:
            row = self._check(conn, secret, ("bootstrap",))
            if not store.burn(conn, row.id, self._clock()):
                raise _refused()
            return self._new(conn, row.principal_id, token_name, "token", None).text

    # --- within ---

    def _authenticate(self, token: str) -> Principal:
        now, presented = self._clock(), digest(self._key, token)
        known = self._known.get(presented)
        if known is not None and known.until > time.monotonic():
            if known.expires_at is not None and known.expires_at <= now:
                raise _refused()
            return known.principal
        forgotten = self._forgotten
        with self._database.transaction() as conn:
            row = self._check(conn, token, ("token", "access"))
            found = store.principal(conn, id=row.principal_id)
            if found is None:
                raise _refused()
            if row.last_used_at is None or now - row.last_used_at >= USED_EVERY:
                store.used(conn, row.id, now)
        with self._lock:
            if forgotten == self._forgotten:
                if len(self._known) >= CACHE_MAX:
                    self._known.clear()
                until = time.monotonic() + CACHE_S
                self._known[presented] = _Known(until, row.expires_at, found)
        return found

    def _check(self, conn: Connection, token: str, kinds: tuple[str, ...]) -> SecretRow:
        """A presented token's row, if it is good. What is wrong is not told, nor by the time
        that it takes to compare."""
        identity = identity_of(token)
        row = store.secret(conn, identity) if identity is not None else None
        same = matches(digest(self._key, token), row.digest if row is not None else None)
        if row is None or not same or row.revoked or row.kind not in kinds:
            raise _refused()
        if row.expires_at is not None and row.expires_at <= self._clock():
            raise _refused()
        return row

    def _one_time(self, conn: Connection) -> str:
        store.create_principal(conn, uuid.uuid4(), ADMIN_USER, ADMIN_USER, {})
        found = store.principal(conn, key=ADMIN_USER)
        assert found is not None
        store.add_role_to_principal(conn, found.id, ADMIN_ROLE)
        return self._new(conn, found.id, "one-time secret", "bootstrap", None).text

    def _new(
        self,
        conn: Connection,
        principal_id: UUID,
        name: str,
        kind: str,
        expires_in: timedelta | None,
        root: UUID | None = None,
    ) -> Secret:
        if expires_in is not None and expires_in <= timedelta(0):
            raise InvalidRequest("a token expires in the future")
        made, now = Secret.new(), self._clock()
        try:
            expires_at = None if expires_in is None else now + expires_in
        except OverflowError:
            raise InvalidRequest("a token cannot expire that late") from None
        kept = digest(self._key, made.text)
        if not store.add_token(
            conn, made.id, principal_id, root, name, kind, kept, now, expires_at
        ):
            raise _refused()
        return made


def _refused() -> NotAuthenticated:
    return NotAuthenticated(
        "the token is not valid", hint="it may have expired or been revoked; lakehold login"
    )
