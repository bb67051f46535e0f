"""Requirements: what a committer believes a table or view to be (REST: ``TableRequirement``).

One that does not hold is a conflict: another commit came first.
"""

from __future__ import annotations

from collections.abc import Sequence

from lakehold.catalog.metadata.draft import Json, needed
from lakehold.errors import CommitConflict, InvalidRequest

_NUMBERS = {
    "assert-last-assigned-field-id": ("last-assigned-field-id", "last-column-id"),
    "assert-current-schema-id": ("current-schema-id", "current-schema-id"),
    "assert-last-assigned-partition-id": ("last-assigned-partition-id", "last-partition-id"),
    "assert-default-spec-id": ("default-spec-id", "default-spec-id"),
    "assert-default-sort-order-id": ("default-sort-order-id", "default-sort-order-id"),
}
"""Requirement → its member, and the table's."""


def check_requirements(metadata: Json | None, requirements: Sequence[Json]) -> None:
    """Check what a commit to a table requires; ``metadata`` is ``None`` for no table.

    Raises:
        CommitConflict: naming the requirement that does not hold.
        InvalidRequest: for one that is not known, or is malformed.
    """
    for requirement in requirements:
        kind = _kind(requirement)
        known = kind in _NUMBERS or kind in ("assert-table-uuid", "assert-ref-snapshot-id")
        if kind == "assert-create":
            if metadata is not None:
                raise CommitConflict("Requirement failed: the table exists already")
        elif not known:
            raise InvalidRequest(f"there is no requirement of a table called {kind}")
        elif metadata is None:
            raise CommitConflict("Requirement failed: the table does not exist")
        elif kind == "assert-table-uuid":
            _check_uuid(metadata["table-uuid"], requirement)
        elif kind == "assert-ref-snapshot-id":
            _check_reference(metadata, requirement)
        else:
            member, present = _NUMBERS[kind]
            wanted = needed(requirement, member, int)
            if metadata.get(present) != wanted:
                raise CommitConflict(
                    f"Requirement failed: {member} is {metadata.get(present)}, not {wanted}"
                )


def check_view_requirements(metadata: Json | None, requirements: Sequence[Json]) -> None:
    """Check what a commit to a view requires (REST: ``ViewRequirement``).

    Raises:
        CommitConflict: naming the requirement that does not hold.
        InvalidRequest: for one that is not known, or is malformed.
    """
    for requirement in requirements:
        kind = _kind(requirement)
        if kind == "assert-create":
            if metadata is not None:
                raise CommitConflict("Requirement failed: the view exists already")
        elif kind != "assert-view-uuid":
            raise InvalidRequest(f"there is no requirement of a view called {kind}")
        elif metadata is None:
            raise CommitConflict("Requirement failed: the view does not exist")
        else:
            _check_uuid(metadata["view-uuid"], requirement)


def _kind(requirement: Json) -> str:
    if not isinstance(requirement, dict):
        raise InvalidRequest("a requirement is an object with a type")
    return needed(requirement, "type", str)


def _check_uuid(present: str, requirement: Json) -> None:
    wanted = needed(requirement, "uuid", str)
    if present.lower() != wanted.lower():
        raise CommitConflict(f"Requirement failed: the UUID is {present}, not {wanted}")


def _check_reference(metadata: Json, requirement: Json) -> None:
    """A branch or tag points where the committer saw it; ``null``: it is not there yet."""
    name = needed(requirement, "ref", str)
    wanted = requirement.get("snapshot-id")
    if wanted is not None:
        wanted = needed(requirement, "snapshot-id", int)
    present = _snapshot_of(metadata, name)
    if present == wanted:
        return
    if wanted is None:
        raise CommitConflict(f"Requirement failed: {name} was created by another commit")
    if present is None:
        raise CommitConflict(f"Requirement failed: {name} is missing, not at {wanted}")
    raise CommitConflict(f"Requirement failed: {name} is at {present}, not at {wanted}")


def _snapshot_of(metadata: Json, name: str) -> int | None:
    reference = (metadata.get("refs") or {}).get(name)
    if reference is not None:
        return int(reference["snapshot-id"])
    if name != "main":
        return None
    current = metadata.get("current-snapshot-id")
    return None if current in (None, -1) else int(current)
