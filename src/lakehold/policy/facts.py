"""The facts that decisions rest on: roles, what they inherit, what was granted to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any
from uuid import UUID

from lakehold.identity import PUBLIC_ROLE

SYSTEM_SCHEMA_ID = UUID("00000000-0000-0000-0000-00000000000a")
"""The schema ``lakehold`` of the platform itself; everybody may use it."""

REMEMBERED_MAX = 20_000
"""Answers that facts of one version remember, of each sort; then they begin anew."""


class Privilege(StrEnum):
    """What may be done.

    On a schema, SELECT, INSERT, UPDATE and DELETE count for all its tables and views, present
    and future; on the lake, for all schemas. USAGE on a schema is needed besides; on the lake
    it counts for all schemas. CREATE on the lake makes schemas, on a schema tables and views.
    """

    SELECT = "SELECT"
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CREATE = "CREATE"
    USAGE = "USAGE"
    OWNERSHIP = "OWNERSHIP"


class ObjectKind(StrEnum):
    """What privileges are on. A grant on columns has the kind of its table and a field id."""

    LAKE = "LAKE"
    SCHEMA = "SCHEMA"
    TABLE = "TABLE"
    VIEW = "VIEW"
    COLUMN = "COLUMN"


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
    """Roles and grants at one version. Immutable; indexed when they are first asked.

    Attributes:
        version: counts changes; two facts of one version are the same.
        inherits: role → the roles that it was granted.
        grants: all of them.
    """

    version: int
    inherits: Mapping[str, frozenset[str]]
    grants: tuple[Grant, ...]

    @staticmethod
    def of(version: int, inherits: Mapping[str, Iterable[str]], grants: Iterable[Grant]) -> Facts:
        """Facts from whatever holds them."""
        held = {role: frozenset(roles) for role, roles in inherits.items()}
        return Facts(version, held, tuple(grants))

    def on(self, object_id: UUID | None, roles: frozenset[str]) -> Iterator[Grant]:
        """The grants of roles on one object (``None``: the lake), by role name."""
        by_role = self._index.get(object_id)
        if by_role is None:
            return
        fewer, more = (by_role, roles) if len(by_role) < len(roles) else (roles, by_role)
        for role in sorted(role for role in fewer if role in more):
            yield from by_role[role]

    def effective_roles(self, roles: frozenset[str]) -> frozenset[str]:
        """The roles, all that they inherit, and ``public``."""
        known = self._closures.get(roles)
        if known is None:
            reached: set[str] = set()
            waiting = [*roles, PUBLIC_ROLE]
            while waiting:
                role = waiting.pop()
                if role not in reached:
                    reached.add(role)
                    waiting.extend(self.inherits.get(role, ()))
            known = frozenset(reached)
            self.remember(self._closures, roles, known)
        return known

    def path(self, roles: frozenset[str], wanted: str) -> str:
        """How a role is reached, for people: ``role analyst, inherited from reader``."""
        if wanted in roles or wanted == PUBLIC_ROLE:
            return f"role {wanted}"
        for role in sorted(roles):
            if wanted in self.effective_roles(frozenset({role})):
                return f"role {role}, inherited from {wanted}"
        return f"role {wanted}"

    @cached_property
    def answers(self) -> dict[Any, Any]:
        """Decisions that were made on these facts; for ``remember``."""
        return {}

    @staticmethod
    def remember(answers: dict[Any, Any], question: object, answer: object) -> None:
        """Keep an answer for as long as these facts live, within bounds."""
        if len(answers) >= REMEMBERED_MAX:
            answers.clear()
        answers[question] = answer

    @cached_property
    def _closures(self) -> dict[frozenset[str], frozenset[str]]:
        return {}

    @cached_property
    def _index(self) -> dict[UUID | None, dict[str, tuple[Grant, ...]]]:
        found: dict[UUID | None, dict[str, list[Grant]]] = {}
        for grant in self.grants:
            found.setdefault(grant.object_id, {}).setdefault(grant.role, []).append(grant)
        return {
            object_id: {role: tuple(sorted(held, key=_order)) for role, held in by_role.items()}
            for object_id, by_role in found.items()
        }


def _order(grant: Grant) -> tuple[str, int, bool]:
    field_id = -1 if grant.field_id is None else grant.field_id
    return grant.privilege.value, field_id, grant.grant_option
