"""What a commit asks for: Iceberg updates in, privileges out. Pure.

A commit brings finished files, whose rows nobody can look at in passing. So what it may do is
read off its updates, and in doubt it needs more rather than less.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lakehold.catalog.relation import Json
from lakehold.errors import InvalidDefinition, InvalidRequest
from lakehold.policy import Privilege
from lakehold.query.tree import fold

REQUIREMENTS = frozenset(
    {
        "assert-create",
        "assert-table-uuid",
        "assert-ref-snapshot-id",
        "assert-last-assigned-field-id",
        "assert-current-schema-id",
        "assert-last-assigned-partition-id",
        "assert-default-spec-id",
        "assert-default-sort-order-id",
    }
)

OWNERS_UPDATES = frozenset(
    {
        "assign-uuid",
        "upgrade-format-version",
        "add-schema",
        "set-current-schema",
        "add-spec",
        "set-default-spec",
        "remove-partition-specs",
        "remove-schemas",
        "add-sort-order",
        "set-default-sort-order",
        "remove-snapshots",
        "remove-snapshot-ref",
        "set-location",
        "set-properties",
        "remove-properties",
        "set-statistics",
        "remove-statistics",
        "set-partition-statistics",
        "remove-partition-statistics",
        "add-encryption-key",
        "remove-encryption-key",
    }
)
"""Updates that change what a table is, or its history: the owner's."""

MAIN = "main"

CHANGE = frozenset({Privilege.INSERT, Privilege.UPDATE, Privilege.DELETE})
"""Replacing files may add, change and remove rows."""

_RESERVED = "lakehold."


def table_privileges(
    updates: Sequence[Json], *, appends_only: bool = False
) -> frozenset[Privilege]:
    """The privileges on a table that a commit with these updates needs.

    Args:
        appends_only: whether the files of its snapshots are known to add rows only.

    Raises:
        InvalidRequest: for an update that is not known.
    """
    needed: set[Privilege] = set()
    added = {
        (update.get("snapshot") or {}).get("snapshot-id")
        for update in updates
        if update.get("action") == "add-snapshot"
    }
    for update in updates:
        action = update.get("action")
        if action == "add-snapshot":
            needed |= {Privilege.INSERT} if appends_only else CHANGE
        elif action == "set-snapshot-ref":
            is_new = update.get("snapshot-id") in added
            if update.get("ref-name") != MAIN or not is_new:
                needed.add(Privilege.OWNERSHIP)
        elif action in OWNERS_UPDATES:
            needed.add(Privilege.OWNERSHIP)
        else:
            raise InvalidRequest(f"unknown update: {action}")
    return frozenset(needed)


def check_requirements_known(requirements: Sequence[Json]) -> None:
    """Refuse what is not in the specification (REST: unknown requirements fail with 400)."""
    for requirement in requirements:
        if requirement.get("type") not in REQUIREMENTS:
            raise InvalidRequest(f"unknown requirement: {requirement.get('type')}")


def check_properties(names: Iterable[object]) -> None:
    """Refuse properties that only the platform sets: logical types, defaults, view rights.

    Their values steer the gateway, which has checked them when SQL set them.

    Raises:
        InvalidDefinition: naming the property.
    """
    for name in names:
        if fold(str(name)).startswith(_RESERVED):
            raise InvalidDefinition(
                f"the property {name} is the platform's", hint="use SQL to change it"
            )


def check_updates(updates: Sequence[Json]) -> None:
    """Refuse updates of properties that only the platform sets."""
    for update in updates:
        if update.get("action") == "set-properties":
            check_properties(update.get("updates") or ())
        elif update.get("action") == "remove-properties":
            check_properties(update.get("removals") or ())
