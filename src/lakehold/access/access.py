"""The public face of access: who there is, what they were granted, and their tokens."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from uuid import UUID

from lakehold.access import store
from lakehold.access.credentials import Credentials
from lakehold.access.store import GrantRow, key_of
from lakehold.clock import Clock
from lakehold.errors import (
    DuplicateObject,
    InvalidDefinition,
    PermissionDenied,
    UndefinedObject,
)
from lakehold.identity import ADMIN_ROLE, PUBLIC_ROLE, Principal
from lakehold.names import check_name
from lakehold.policy import COLUMN_PRIVILEGES, Facts, ObjectKind, Privilege
from lakehold.state import Connection, Database

BUILT_IN_ROLES = frozenset({ADMIN_ROLE, PUBLIC_ROLE})

VERSIONS_MAX = 4
"""Versions of the facts that are remembered: older transactions may still see older ones."""


class Access(Credentials):
    """Principals, roles and grants; and, inherited, tokens. Thread safe.

    What changes something joins the caller's transaction, and counts when that commits.
    Names are compared without case.

    Args:
        key: the platform's key for secrets; only keyed hashes of them are stored.
    """

    def __init__(self, database: Database, clock: Clock, key: bytes) -> None:
        super().__init__(database, clock, key, self._is_administrator)
        self._facts: OrderedDict[int, Facts] = OrderedDict()
        self._facts_lock = threading.Lock()

    # --- facts ---

    def facts(self, conn: Connection) -> Facts:
        """What decisions rest on, as the connection's transaction sees it.

        One small query when nothing has changed since the last time.
        """
        known = self._facts.get(store.version(conn))
        if known is not None:
            return known
        fresh = store.facts(conn)
        with self._facts_lock:
            self._facts[fresh.version] = fresh
            while len(self._facts) > VERSIONS_MAX:
                self._facts.popitem(last=False)
        return fresh

    def _is_administrator(self, conn: Connection, principal: Principal) -> bool:
        return ADMIN_ROLE in self.facts(conn).effective_roles(principal.roles)

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
        if not store.create_role(conn, check_name(name, "role name"), key_of(name)):
            raise DuplicateObject(f"there is a role {name} already")

    def drop_role(self, conn: Connection, name: str) -> None:
        """Remove a role with all its grants.

        Raises:
            UndefinedObject, PermissionDenied: for the built-in ones.
        """
        if key_of(name) in BUILT_IN_ROLES:
            raise PermissionDenied(f"the role {name} is built in")
        if not store.drop_role(conn, key_of(name)):
            raise UndefinedObject(f"there is no role {name}")
        self.forget()

    def create_user(
        self, conn: Connection, name: str, attributes: dict[str, str] | None = None
    ) -> None:
        """Make a user without roles.

        Raises:
            DuplicateObject, InvalidName
        """
        check_name(name, "user name")
        if not store.create_principal(conn, uuid.uuid4(), name, key_of(name), attributes or {}):
            raise DuplicateObject(f"there is a user {name} already")

    def drop_user(self, conn: Connection, name: str) -> None:
        """Remove a user with all its tokens; nobody gets its identity again.

        Raises:
            UndefinedObject, InvalidDefinition: for the last administrator.
        """
        found = self._principal(conn, name)
        self._keep_an_admin(conn, found)
        store.drop_principal(conn, key_of(name))
        self.forget()

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
        self.forget()

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
        self.forget()

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
        """Give a role a privilege on an object, or on columns of it. Again is no error.

        Args:
            object_id: ``None`` for the lake.
            field_ids: Iceberg field ids of columns; none for the whole object.

        Raises:
            UndefinedObject: if there is no such role.
            InvalidDefinition: if the privilege is none that columns have.
        """
        if field_ids and (privilege not in COLUMN_PRIVILEGES or object_id is None):
            raise InvalidDefinition(
                f"{privilege} cannot be granted on columns", hint="SELECT, INSERT and UPDATE can"
            )
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
        """A new object: its creator's role owns it, and the schema's future grants come true.

        Raises:
            UndefinedObject: if the role was dropped meanwhile.
        """
        store.grant(
            conn,
            self._role(conn, owner_role),
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
        key = None if role is None else self._role(conn, role, keep=False)
        return store.grants(conn, key, object_id)

    # --- within ---

    def _principal(self, conn: Connection, name: str) -> Principal:
        found = store.principal(conn, key=key_of(name))
        if found is None:
            raise UndefinedObject(f"there is no user {name}")
        return found

    def _role(self, conn: Connection, name: str, *, keep: bool = True) -> str:
        """The key of a role that is there, and stays until the transaction ends."""
        if not store.role_exists(conn, key_of(name), keep=keep):
            raise UndefinedObject(f"there is no role {name}")
        return key_of(name)

    def _keep_an_admin(self, conn: Connection, leaving: Principal) -> None:
        """Refuse to take the last one's role: only who was granted it directly counts."""
        if ADMIN_ROLE in leaving.roles and store.count_of_role(conn, ADMIN_ROLE) <= 1:
            raise InvalidDefinition(
                f"{leaving.name} is the last administrator",
                hint="GRANT ROLE admin TO USER … first",
            )
