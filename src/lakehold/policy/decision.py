"""Decisions: may these roles do this? With the reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lakehold.identity import ADMIN_ROLE
from lakehold.policy.facts import (
    SYSTEM_SCHEMA_ID,
    Facts,
    Grant,
    ObjectKind,
    Privilege,
    Target,
)

_COLUMN_PRIVILEGES = frozenset({Privilege.SELECT, Privilege.INSERT, Privilege.UPDATE})
_NO_MASKS: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Decision:
    """An answer with its reasons.

    Attributes:
        columns: field ids that it is allowed for; ``None`` for all, also of columns to come.
        filters: conditions that rows must meet.
        masks: field id → expression that is shown in place of the column.
        reasons: for people, the strongest first.
    """

    allowed: bool
    columns: frozenset[int] | None = None
    filters: tuple[str, ...] = ()
    masks: Mapping[int, str] = field(default_factory=lambda: _NO_MASKS)
    reasons: tuple[str, ...] = ()

    @property
    def unrestricted(self) -> bool:
        """Allowed for every row and every column in clear."""
        return self.allowed and self.columns is None and not self.filters and not self.masks


def decide(facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target) -> Decision:
    """Decide whether roles hold a privilege on a target. Without a grant, no (invariant 2).

    Args:
        roles: the active roles; inherited ones are found here.
    """
    effective = facts.effective_roles(roles)
    if ADMIN_ROLE in effective:
        return Decision(True, reasons=(f"role {ADMIN_ROLE} may do everything",))
    whole = _whole(facts, roles, effective, privilege, target)
    if whole is not None:
        if _needs_usage(privilege, target) and not _may_use(facts, effective, target):
            return Decision(False, reasons=("USAGE on the schema is not granted",))
        return Decision(True, reasons=(whole,))
    if privilege in _COLUMN_PRIVILEGES and target.id is not None:
        found = [
            grant
            for grant in facts.on(target.id)
            if grant.privilege is privilege
            and grant.field_id is not None
            and grant.role in effective
        ]
        if found:
            if not _may_use(facts, effective, target):
                return Decision(False, reasons=("USAGE on the schema is not granted",))
            columns = frozenset(g.field_id for g in found if g.field_id is not None)
            by = sorted({facts.path(roles, grant.role) for grant in found})
            reason = f"{privilege} on {len(columns)} columns through {'; '.join(by)}"
            return Decision(True, columns=columns, reasons=(reason,))
    return Decision(False, reasons=(f"{privilege} is not granted",))


def visible(facts: Facts, roles: frozenset[str], target: Target) -> bool:
    """May roles know that the target is there? With any privilege on it or a column of it."""
    effective = facts.effective_roles(roles)
    if ADMIN_ROLE in effective:
        return True
    if target.kind is ObjectKind.SCHEMA:
        return target.id == SYSTEM_SCHEMA_ID or any(
            grant.role in effective for grant in (*facts.on(target.id), *_lake_wide(facts))
        )
    if not _may_use(facts, effective, target):
        return False
    data = (*_on_schema(facts, target), *_lake_wide(facts))
    return any(grant.role in effective for grant in facts.on(target.id)) or any(
        grant.role in effective and grant.privilege not in (Privilege.USAGE, Privilege.CREATE)
        for grant in data
    )


def may_grant(
    facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target
) -> Decision:
    """May roles give a privilege on a target to others? As its owner, or with the option."""
    owner = decide(facts, roles, Privilege.OWNERSHIP, _holder(target))
    if owner.allowed:
        return owner
    effective = facts.effective_roles(roles)
    for grant in _covering(facts, target):
        if (
            grant.grant_option
            and grant.field_id is None
            and grant.privilege is privilege
            and grant.role in effective
        ):
            return Decision(True, reasons=(f"grant option through role {grant.role}",))
    return Decision(False, reasons=("neither owner nor grant option",))


def _holder(target: Target) -> Target:
    """What must be owned to grant on a target: of what is still to come, its schema."""
    if target.id is None and target.schema_id is not None:
        return Target(ObjectKind.SCHEMA, target.schema_id, target.schema_id)
    return target


def _whole(
    facts: Facts,
    roles: frozenset[str],
    effective: frozenset[str],
    privilege: Privilege,
    target: Target,
) -> str | None:
    """The reason why the whole target is allowed, if it is."""
    for grant in _covering(facts, target):
        if grant.role not in effective or grant.field_id is not None:
            continue
        if _implies(grant, privilege, target):
            return f"{grant.privilege} on the {grant.kind.lower()} through " + facts.path(
                roles, grant.role
            )
    return None


def _implies(grant: Grant, privilege: Privilege, target: Target) -> bool:
    """Whether a grant that covers the target gives the privilege on it."""
    if grant.privilege is Privilege.OWNERSHIP:
        return True
    if grant.privilege is not privilege:
        return False
    if privilege is Privilege.CREATE:
        # CREATE on the lake makes schemas, on a schema tables: neither covers the other.
        return grant.kind is target.kind
    return True


def _covering(facts: Facts, target: Target) -> tuple[Grant, ...]:
    """Grants on the target itself, on its schema, and on the lake."""
    own = facts.on(target.id) if target.id is not None else ()
    if target.kind is ObjectKind.LAKE:
        return facts.on(None)
    if target.kind is ObjectKind.SCHEMA:
        return (*own, *facts.on(None))
    return (*own, *_on_schema(facts, target), *facts.on(None))


def _on_schema(facts: Facts, target: Target) -> tuple[Grant, ...]:
    return facts.on(target.schema_id) if target.schema_id is not None else ()


def _lake_wide(facts: Facts) -> tuple[Grant, ...]:
    """Grants on the lake that reach into schemas: all but CREATE, which makes schemas."""
    return tuple(g for g in facts.on(None) if g.privilege is not Privilege.CREATE)


def _needs_usage(privilege: Privilege, target: Target) -> bool:
    return target.kind in (ObjectKind.TABLE, ObjectKind.VIEW) or (
        target.kind is ObjectKind.SCHEMA and privilege is Privilege.CREATE
    )


def _may_use(facts: Facts, effective: frozenset[str], target: Target) -> bool:
    """USAGE on the schema, or what implies it: owning the schema or the lake."""
    if target.schema_id == SYSTEM_SCHEMA_ID:
        return True
    on = (*_on_schema(facts, target), *facts.on(None))
    return any(
        grant.role in effective and grant.privilege in (Privilege.USAGE, Privilege.OWNERSHIP)
        for grant in on
    )
