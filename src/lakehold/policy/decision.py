"""Decisions: may these roles do this? With the reasons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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

COLUMN_PRIVILEGES = frozenset({Privilege.SELECT, Privilege.INSERT, Privilege.UPDATE})
"""Privileges that can be granted on single columns."""

_REACH_INTO_SCHEMAS = frozenset(
    {
        Privilege.SELECT,
        Privilege.INSERT,
        Privilege.UPDATE,
        Privilege.DELETE,
        Privilege.OWNERSHIP,
    }
)
_IN_SCHEMA = frozenset({ObjectKind.TABLE, ObjectKind.VIEW, ObjectKind.COLUMN})
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
    question = (roles, privilege, target)
    known = facts.answers.get(question)
    if known is None:
        known = _decide(facts, roles, privilege, target)
        facts.remember(facts.answers, question, known)
    assert isinstance(known, Decision)
    return known


def visible(facts: Facts, roles: frozenset[str], target: Target) -> bool:
    """May roles know that the target is there?

    A table or view: with any privilege on it or on a column of it, or one on its schema or on
    the lake that reaches it, and USAGE on the schema. A schema: with any privilege on it, or
    USAGE or OWNERSHIP of the lake. The lake: always.
    """
    effective = facts.effective_roles(roles)
    if ADMIN_ROLE in effective or target.kind is ObjectKind.LAKE:
        return True
    if target.kind is ObjectKind.SCHEMA:
        return any(facts.on(target.id, effective)) or _may_use(facts, effective, target)
    if not _may_use(facts, effective, target):
        return False
    if target.id is not None and any(facts.on(target.id, effective)):
        return True
    around = (*_on_schema(facts, effective, target), *facts.on(None, effective))
    return any(grant.privilege in _REACH_INTO_SCHEMAS for grant in around)


def may_grant(
    facts: Facts,
    roles: frozenset[str],
    privilege: Privilege,
    target: Target,
    columns: frozenset[int] = frozenset(),
) -> Decision:
    """May roles give a privilege on a target to others?

    As the owner of it, of its schema or of the lake; as an administrator; or holding the
    privilege with the grant option. OWNERSHIP is never given through a grant option.

    Args:
        columns: field ids, if it is to be given on these only.
    """
    owner = decide(facts, roles, Privilege.OWNERSHIP, _owned(target))
    if owner.allowed:
        return owner
    effective = facts.effective_roles(roles)
    if _in_schema(target) and not _may_use(facts, effective, target):
        return Decision(False, reasons=("USAGE on the schema is not granted",))
    optional: set[int] = set()
    for grant in _covering(facts, effective, target):
        if not grant.grant_option or grant.privilege is Privilege.OWNERSHIP:
            continue
        if not _implies(grant, privilege, target):
            continue
        if grant.field_id is None:
            reason = f"grant option on the {grant.kind.lower()} through "
            return Decision(True, reasons=(reason + facts.path(roles, grant.role),))
        optional.add(grant.field_id)
    if columns and columns <= optional:
        return Decision(True, columns=columns, reasons=("grant option on the columns",))
    return Decision(False, reasons=("neither owner nor grant option",))


def _decide(facts: Facts, roles: frozenset[str], privilege: Privilege, target: Target) -> Decision:
    effective = facts.effective_roles(roles)
    if ADMIN_ROLE in effective:
        return Decision(True, reasons=(f"role {ADMIN_ROLE} may do everything",))
    if _is_use_of_system(privilege, target):
        return Decision(True, reasons=("the platform's own schema is everybody's to use",))
    whole: list[Grant] = []
    columns: list[Grant] = []
    for grant in _covering(facts, effective, target):
        if _implies(grant, privilege, target):
            (whole if grant.field_id is None else columns).append(grant)
    if not whole and not columns:
        return Decision(False, reasons=(f"{privilege} is not granted",))
    if _needs_usage(privilege, target) and not _may_use(facts, effective, target):
        return Decision(False, reasons=("USAGE on the schema is not granted",))
    if whole:
        reasons = tuple(dict.fromkeys(_reason(facts, roles, grant) for grant in whole))
        return Decision(True, reasons=reasons)
    field_ids = frozenset(grant.field_id for grant in columns if grant.field_id is not None)
    by = sorted({facts.path(roles, grant.role) for grant in columns})
    some = "1 column" if len(field_ids) == 1 else f"{len(field_ids)} columns"
    reason = f"{privilege} on {some} through {' and '.join(by)}"
    return Decision(True, columns=field_ids, reasons=(reason,))


def _reason(facts: Facts, roles: frozenset[str], grant: Grant) -> str:
    return f"{grant.privilege} on the {grant.kind.lower()} through {facts.path(roles, grant.role)}"


def _owned(target: Target) -> Target:
    """What must be owned to grant on a target: for what is still to come, its schema."""
    if target.id is None and target.schema_id is not None:
        return Target(ObjectKind.SCHEMA, target.schema_id, target.schema_id)
    return target


def _implies(grant: Grant, privilege: Privilege, target: Target) -> bool:
    """Whether a grant that covers the target gives the privilege on it, or on a column."""
    if grant.field_id is not None:
        return grant.privilege is privilege and privilege in COLUMN_PRIVILEGES
    if grant.privilege is Privilege.OWNERSHIP:
        return True
    if grant.privilege is not privilege:
        return False
    if privilege is Privilege.CREATE:
        # CREATE on the lake makes schemas, on a schema tables: neither covers the other.
        return grant.kind is target.kind
    return True


def _covering(facts: Facts, effective: frozenset[str], target: Target) -> Iterator[Grant]:
    """Grants on the target itself, on its schema, and on the lake: the nearest first."""
    if target.kind is not ObjectKind.LAKE and target.id is not None:
        yield from facts.on(target.id, effective)
    if _in_schema(target):
        yield from _on_schema(facts, effective, target)
    yield from facts.on(None, effective)


def _on_schema(facts: Facts, effective: frozenset[str], target: Target) -> Iterator[Grant]:
    return iter(()) if target.schema_id is None else facts.on(target.schema_id, effective)


def _in_schema(target: Target) -> bool:
    return target.kind in _IN_SCHEMA


def _needs_usage(privilege: Privilege, target: Target) -> bool:
    return _in_schema(target) or (
        target.kind is ObjectKind.SCHEMA and privilege is Privilege.CREATE
    )


def _is_use_of_system(privilege: Privilege, target: Target) -> bool:
    return (
        privilege is Privilege.USAGE
        and target.kind is ObjectKind.SCHEMA
        and target.id == SYSTEM_SCHEMA_ID
    )


def _may_use(facts: Facts, effective: frozenset[str], target: Target) -> bool:
    """USAGE on the schema or the lake, or what implies it: owning the schema or the lake."""
    if target.schema_id == SYSTEM_SCHEMA_ID:
        return True
    around = (*_on_schema(facts, effective, target), *facts.on(None, effective))
    return any(grant.privilege in (Privilege.USAGE, Privilege.OWNERSHIP) for grant in around)
