"""The facts that decisions rest on: roles, what they inherit, what was granted to them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from lakehold.identity import PUBLIC_ROLE

SYSTEM_SCHEMA_ID = UUID("00000000-0000-0000-0000-00000000000a")
"""The schema ``lakehold`` of the platform itself; everybody may use it."""


class Privilege(StrEnum):
    """What may be done.

    On a schema, SELECT, INSERT, UPDATE and DELETE count for all its tables and views, present
    and future; on the lake, for all schemas. USAGE on a schema is needed besides.
    """

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CREATE = "CREATE"
    USAGE = "USAGE"
    OWNERSHIP = "OWNERSHIP"


class ObjectKind(StrEnum):
    """What privileges are on."""

    LAKE = "LAKE"
    SCHEMA = "SCHEMA"
    TABLE = "TABLE"
    VIEW = "VIEW"


@dataclass(frozen=True, slots=True)
class Grant:
    """A privilege that a role was given.

    Attributes:
        object_id: ``None`` for the lake.
        field_id: the Iceberg field id of a column; ``None`` for the whole object.
        grant_option: whether the role may give it on.
    """

    role: str
    privilege: Privilege
    kind: ObjectKind
    object_id: UUID | None
    field_id: int | None = None
    grant_option: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """What a decision is about.

    Attributes:
        id: the object; ``None`` for the lake, and for what does not exist yet.
        schema_id: the schema that it is in, or is.
    """

    kind: ObjectKind
    id: UUID | None
    schema_id: UUID | None


@dataclass(frozen=True)
class Facts:
    """Roles and grants at one version.

    Attributes:
        version: counts changes; two facts of one version are the same.
        inherits: role → the roles that it was granted.
        grants: all of them.
    """

    version: int
    inherits: Mapping[str, frozenset[str]]
    grants: tuple[Grant, ...]
    _closures: dict[frozenset[str], frozenset[str]] = field(
        default_factory=dict, compare=False, repr=False
    )
    _by_object: dict[UUID | None, tuple[Grant, ...]] = field(
        default_factory=dict, compare=False, repr=False
    )

    @staticmethod
    def of(version: int, inherits: Mapping[str, Iterable[str]], grants: Iterable[Grant]) -> Facts:
        """Facts with their index by object."""
        index: dict[UUID | None, list[Grant]] = {}
        all_grants = tuple(grants)
        for grant in all_grants:
            index.setdefault(grant.object_id, []).append(grant)
        return Facts(
            version,
            {role: frozenset(held) for role, held in inherits.items()},
            all_grants,
            _by_object={key: tuple(found) for key, found in index.items()},
        )

    def on(self, object_id: UUID | None) -> tuple[Grant, ...]:
        """The grants on one object; ``None`` for the lake."""
        return self._by_object.get(object_id, ())

    def effective_roles(self, roles: frozenset[str]) -> frozenset[str]:
        """The roles, all that they inherit, and ``public``."""
        known = self._closures.get(roles)
        if known is None:
            reached = {PUBLIC_ROLE}
            waiting = list(roles | {PUBLIC_ROLE})
            while waiting:
                role = waiting.pop()
                reached.add(role)
                waiting.extend(self.inherits.get(role, frozenset()) - reached)
            known = frozenset(reached)
            if len(self._closures) < 10_000:
                self._closures[roles] = known
        return known

    def path(self, roles: frozenset[str], wanted: str) -> str:
        """How a role is reached, for people: ``reader, inherited by analyst``."""
        if wanted in roles or wanted == PUBLIC_ROLE:
            return f"role {wanted}"
        for role in sorted(roles):
            if wanted in self.effective_roles(frozenset({role})):
                return f"role {wanted}, inherited by {role}"
        return f"role {wanted}"
