"""The public face of access: who there is, what they were granted, and their tokens."""

from __future__ import annotations

import hmac
import secrets
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from lakehold.access import store
from lakehold.access.store import GrantRow, SecretRow, TokenRow
from lakehold.clock import Clock
from lakehold.errors import (
    InvalidDefinition,
    InvalidRequest,
    NotAuthenticated,
    PermissionDenied,
    UndefinedObject,
)
from lakehold.identity import ADMIN_ROLE, PUBLIC_ROLE, Principal
from lakehold.names import check_name
from lakehold.policy import Facts, ObjectKind, Privilege
from lakehold.state import Connection, Database

BUILT_IN_ROLES = frozenset({ADMIN_ROLE, PUBLIC_ROLE})
ADMIN_USER = "admin"

SECRET_BYTES = 24
"""Randomness of a token's secret: 192 bits."""

CACHE_S = 1.0
"""How long an authentication counts without asking PostgreSQL again; so a token that was
revoked through another platform on the same PostgreSQL is refused within a second."""

CACHE_MAX = 10_000
USED_EVERY = timedelta(minutes=1)
"""How exactly ``last_used_at`` is kept."""


class Access:
    """Principals, roles, grants and tokens. Thread safe.

    Args:
        key: the platform's key for secrets; only keyed hashes of them are stored.
    """

    def __init__(self, database: Database, clock: Clock, key: bytes) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._facts: Facts | None = None
        self._known: dict[bytes, tuple[float, Principal, UUID]] = {}
        self._lock = threading.Lock()

    # --- facts ---

    def facts(self, conn: Connection) -> Facts:
        """What decisions rest on, as the connection's transaction sees it."""
        present = store.version(conn)
        known = self._facts
        if known is not None and known.version == present:
            return known
        fresh = store.facts(conn, present)
        with self._lock:
            if self._facts is None or self._facts.version < present:
                self._facts = fresh
        return fresh

    # --- principals and roles ---

    def principal(self, name: str) -> Principal:
        """A principal by name.

        Raises:
            UndefinedObject: if there is none.
        """
        with self._database.transaction(read_only=True) as conn:
            return self._principal(conn, name)

    def create_role(self, conn: Connection, name: str) -> None:
        """Make a role.

        Raises:
            DuplicateObject, InvalidName
        """
        store.create_role(conn, check_name(name, "role name"), _key(name))

    def drop_role(self, conn: Connection, name: str) -> None:
        """Remove a role with all its grants.

        Raises:
            UndefinedObject, PermissionDenied: for the built-in ones.
        """
        if _key(name) in BUILT_IN_ROLES:
            raise PermissionDenied(f"the role {name} is built in")
        if not store.drop_role(conn, _key(name)):
            raise UndefinedObject(f"there is no role {name}")
        self._forget()

    def create_user(
        self, conn: Connection, name: str, attributes: dict[str, str] | None = None
    ) -> None:
        """Make a user without roles.

        Raises:
            DuplicateObject, InvalidName
        """
        check_name(name, "user name")
        store.create_principal(conn, uuid.uuid4(), name, _key(name), attributes or {})

    def drop_user(self, conn: Connection, name: str) -> None:
        """Remove a user with all its tokens; nobody gets its identity again.

        Raises:
            UndefinedObject, InvalidDefinition: for the last administrator.
        """
        found = self._principal(conn, name)
        self._keep_an_admin(conn, found)
        store.drop_principal(conn, _key(name))
        self._forget()

    def grant_role(
        self,
        conn: Connection,
        role: str,
        *,
        to_user: str | None = None,
        to_role: str | None = None,
    ) -> None:
        """Give a role to a user, or let a role inherit it.

        Raises:
            UndefinedObject, InvalidDefinition: for a cycle.
        """
        key = self._role(conn, role)
        if to_user is not None:
            store.add_role_to_principal(conn, self._principal(conn, to_user).id, key)
        elif to_role is not None:
            member = self._role(conn, to_role)
            if member in BUILT_IN_ROLES:
                raise InvalidDefinition(f"the role {to_role} is built in; it inherits nothing")
            if store.inherits(conn, key, member):
                raise InvalidDefinition(f"{role} inherits {to_role} already: that is a circle")
            store.add_role_to_role(conn, member, key)
        self._forget()

    def revoke_role(
        self,
        conn: Connection,
        role: str,
        *,
        to_user: str | None = None,
        to_role: str | None = None,
    ) -> None:
        """Take a role from a user or a role.

        Raises:
            UndefinedObject, InvalidDefinition: for the last administrator.
        """
        key = self._role(conn, role)
        if to_user is not None:
            found = self._principal(conn, to_user)
            if key == ADMIN_ROLE:
                self._keep_an_admin(conn, found)
            store.remove_role_from_principal(conn, found.id, key)
        elif to_role is not None:
            store.remove_role_from_role(conn, self._role(conn, to_role), key)
        self._forget()

    def roles(self, conn: Connection) -> list[tuple[str, tuple[str, ...]]]:
        """All roles, each with the roles it was granted."""
        return store.roles(conn)

    def users(self, conn: Connection) -> list[tuple[str, tuple[str, ...]]]:
        """All users, each with its roles."""
        return store.users(conn)

    def roles_of_user(self, conn: Connection, name: str) -> tuple[str, ...]:
        """The roles that a user was granted.

        Raises:
            UndefinedObject
        """
        return tuple(sorted(self._principal(conn, name).roles))

    # --- grants ---

    def grant(
        self,
        conn: Connection,
        role: str,
        privilege: Privilege,
        kind: ObjectKind,
        object_id: UUID | None,
        field_ids: Sequence[int] = (),
        grant_option: bool = False,
    ) -> None:
        """Give a role a privilege on an object, or on columns of it.

        Raises:
            UndefinedObject: if there is no such role.
        """
        store.grant(
            conn,
            self._role(conn, role),
            privilege.value,
            kind.value,
            object_id,
            list(field_ids) or [None],
            grant_option,
        )

    def revoke(
        self,
        conn: Connection,
        role: str,
        privilege: Privilege,
        kind: ObjectKind,
        object_id: UUID | None,
        field_ids: Sequence[int] = (),
    ) -> None:
        """Take a privilege back; of a whole object also the grants on its columns.

        Raises:
            UndefinedObject: if there is no such role.
        """
        key = self._role(conn, role)
        store.revoke(conn, key, privilege.value, object_id, list(field_ids) or None)

    def grant_future(
        self,
        conn: Connection,
        schema_id: UUID,
        privilege: Privilege,
        kind: ObjectKind,
        role: str,
    ) -> None:
        """Give a role a privilege on every table or view that a schema will get."""
        key = self._role(conn, role)
        store.grant_future(conn, schema_id, kind.value, privilege.value, key)

    def revoke_future(
        self,
        conn: Connection,
        schema_id: UUID,
        privilege: Privilege,
        kind: ObjectKind,
        role: str,
    ) -> None:
        """Take a future privilege back; what it gave already stays."""
        key = self._role(conn, role)
        store.revoke_future(conn, schema_id, kind.value, privilege.value, key)

    def on_created(
        self,
        conn: Connection,
        kind: ObjectKind,
        object_id: UUID,
        *,
        schema_id: UUID | None,
        owner_role: str,
    ) -> None:
        """A new object: its creator's role owns it, and the schema's future grants come true."""
        store.grant(
            conn,
            _key(owner_role),
            Privilege.OWNERSHIP.value,
            kind.value,
            object_id,
            [None],
            False,
        )
        if schema_id is not None and kind is not ObjectKind.SCHEMA:
            store.apply_future(conn, schema_id, kind.value, object_id)

    def on_dropped(self, conn: Connection, ids: Iterable[UUID]) -> None:
        """Objects that are gone have no grants; ids are never given again."""
        store.forget_objects(conn, ids)

    def grants(
        self, conn: Connection, role: str | None = None, object_id: UUID | None = None
    ) -> list[GrantRow]:
        """The grants of a role, on an object, or all."""
        key = None if role is None else self._role(conn, role)
        return store.grants(conn, key, object_id)

    # --- tokens ---

    def authenticate(self, token: str) -> Principal:
        """The principal of a token.

        Raises:
            NotAuthenticated: if it is wrong, expired or revoked; it is not said which.
        """
        digest = self._digest(token)
        known = self._known.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        now = self._clock()
        with self._database.transaction() as conn:
            row = self._check(conn, token, digest, ("token", "access"), now)
            found = store.principal(conn, id=row.principal_id)
            if found is None:
                raise _refused()
            if row.last_used_at is None or now - row.last_used_at > USED_EVERY:
                store.used(conn, row.id, now)
        principal = Principal(found.id, found.name, found.roles, found.attributes)
        with self._lock:
            if len(self._known) >= CACHE_MAX:
                self._known.clear()
            self._known[digest] = (time.monotonic() + CACHE_S, principal, row.id)
        return principal

    def create_token(
        self, principal: str, *, name: str, expires_in: timedelta | None, by: Principal
    ) -> str:
        """Make a token; it is shown this once.

        Raises:
            PermissionDenied: for another's, unless ``by`` is an administrator.
            UndefinedObject: if there is no such principal.
        """
        check_name(name, "token name")
        if _key(principal) != _key(by.name) and ADMIN_ROLE not in by.roles:
            raise PermissionDenied("only an administrator makes tokens for others")
        with self._database.transaction() as conn:
            found = self._principal(conn, principal)
            return self._new_secret(conn, found.id, name, "token", expires_in)

    def tokens(self, *, by: Principal) -> list[TokenRow]:
        """The caller's tokens; for an administrator, everyone's."""
        owner = None if ADMIN_ROLE in by.roles else by.id
        with self._database.transaction(read_only=True) as conn:
            return store.tokens(conn, owner)

    def revoke_token(self, token_id: UUID, *, by: Principal) -> None:
        """End a token at once.

        Raises:
            UndefinedObject: if there is none, or it is another's.
        """
        owner = None if ADMIN_ROLE in by.roles else by.id
        with self._database.transaction() as conn:
            if not store.revoke_token(conn, token_id, self._clock(), owner):
                raise UndefinedObject(f"there is no token {token_id}")
        self._forget()

    def issue_access_token(self, principal: Principal, ttl_s: int) -> str:
        """A short-lived token (OAuth 2 client credentials)."""
        with self._database.transaction() as conn:
            store.forget_expired(conn, self._clock() - timedelta(days=1))
            return self._new_secret(conn, principal.id, "oauth", "access", timedelta(seconds=ttl_s))

    # --- the first start ---

    def bootstrap(self) -> str | None:
        """At the first start, make the administrator and its one-time secret; later ``None``."""
        with self._database.transaction() as conn:
            conn.execute("SELECT pg_advisory_xact_lock(42420001)")
            if store.any_token(conn):
                return None
            if store.principal(conn, key=ADMIN_USER) is None:
                store.create_principal(conn, uuid.uuid4(), ADMIN_USER, ADMIN_USER, {})
                found = self._principal(conn, ADMIN_USER)
                store.add_role_to_principal(conn, found.id, ADMIN_ROLE)
            return self._one_time(conn)

    def reset_bootstrap(self) -> str:
        """A new one-time secret for the administrator; older ones are dead."""
        with self._database.transaction() as conn:
            store.revoke_kind(conn, "bootstrap", self._clock())
            return self._one_time(conn)

    def exchange(self, secret: str, token_name: str) -> str:
        """Use up a one-time secret for a token.

        Raises:
            NotAuthenticated: if it is wrong, or was used before.
        """
        check_name(token_name, "token name")
        now = self._clock()
        with self._database.transaction() as conn:
            row = self._check(conn, secret, self._digest(secret), ("bootstrap",), now)
            if not store.burn(conn, row.id, now):
                raise _refused()
            return self._new_secret(conn, row.principal_id, token_name, "token", None)

    # --- within ---

    def _one_time(self, conn: Connection) -> str:
        found = self._principal(conn, ADMIN_USER)
        return self._new_secret(conn, found.id, "one-time secret", "bootstrap", None)

    def _new_secret(
        self,
        conn: Connection,
        principal_id: UUID,
        name: str,
        kind: str,
        expires_in: timedelta | None,
    ) -> str:
        identity = uuid.uuid4()
        secret = f"lh_{identity.hex}_{secrets.token_hex(SECRET_BYTES)}"
        now = self._clock()
        if expires_in is not None and expires_in <= timedelta(0):
            raise InvalidRequest("a token expires in the future")
        expires: datetime | None = None if expires_in is None else now + expires_in
        store.add_token(
            conn, identity, principal_id, name, kind, self._digest(secret), now, expires
        )
        return secret

    def _check(
        self,
        conn: Connection,
        secret: str,
        digest: bytes,
        kinds: Sequence[str],
        now: datetime,
    ) -> SecretRow:
        """Find a presented secret, in constant time for all that concerns the secret."""
        parts = secret.split("_")
        try:
            identity = UUID(hex=parts[1]) if len(parts) == 3 and parts[0] == "lh" else None
        except ValueError:
            identity = None
        row = store.secret(conn, identity) if identity is not None else None
        expected = row.digest if row is not None else b"\0" * 32
        same = hmac.compare_digest(expected, digest)
        if (
            row is None
            or not same
            or row.revoked
            or row.kind not in kinds
            or (row.expires_at is not None and row.expires_at <= now)
        ):
            raise _refused()
        return row

    def _digest(self, secret: str) -> bytes:
        return hmac.digest(self._key, secret.encode("utf-8", "surrogateescape"), "sha256")

    def _principal(self, conn: Connection, name: str) -> Principal:
        found = store.principal(conn, key=_key(name))
        if found is None:
            raise UndefinedObject(f"there is no user {name}")
        return Principal(found.id, found.name, found.roles, found.attributes)

    def _role(self, conn: Connection, name: str) -> str:
        if not store.role_exists(conn, _key(name)):
            raise UndefinedObject(f"there is no role {name}")
        return _key(name)

    def _keep_an_admin(self, conn: Connection, leaving: Principal) -> None:
        if ADMIN_ROLE in leaving.roles and store.count_of_role(conn, ADMIN_ROLE) <= 1:
            raise InvalidDefinition(
                f"{leaving.name} is the last administrator",
                hint="GRANT ROLE admin TO USER … first",
            )

    def _forget(self) -> None:
        """Ask PostgreSQL again about every token."""
        with self._lock:
            self._known.clear()


def _key(name: str) -> str:
    """A name as it is compared."""
    return name.lower()


def _refused() -> NotAuthenticated:
    return NotAuthenticated(
        "the token is not valid",
        hint="it may have expired or been revoked; lakehold login",
    )
