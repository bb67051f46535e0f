"""Requirements: what a committer believes the table to be (REST: ``TableRequirement``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lakehold.errors import CommitConflict, InvalidRequest

Json = dict[str, Any]

_SAME = {
    "assert-last-assigned-field-id": ("last-assigned-field-id", "last-column-id"),
    "assert-current-schema-id": ("current-schema-id", "current-schema-id"),
    "assert-last-assigned-partition-id": ("last-assigned-partition-id", "last-partition-id"),
    "assert-default-spec-id": ("default-spec-id", "default-spec-id"),
    "assert-default-sort-order-id": ("default-sort-order-id", "default-sort-order-id"),
}


def check_requirements(metadata: Json | None, requirements: Sequence[Json]) -> None:
    """Check what a commit to a table requires; ``metadata`` is ``None`` for no table.

    Raises:
        CommitConflict: naming the requirement that does not hold.
        InvalidRequest: for one that is not known.
    """
    for requirement in requirements:
        kind = requirement.get("type")
        if kind == "assert-create":
            if metadata is not None:
                raise CommitConflict("Requirement failed: the table exists already")
            continue
        if metadata is None:
            raise CommitConflict("Requirement failed: the table does not exist")
        if kind == "assert-table-uuid":
            _same("UUID", metadata["table-uuid"], requirement.get("uuid"))
        elif kind == "assert-ref-snapshot-id":
            _check_ref(metadata, requirement)
        elif kind in _SAME:
            wanted, present = _SAME[kind]
            _same(wanted, metadata.get(present), requirement.get(wanted))
        else:
            raise InvalidRequest(f"there is no requirement {kind}")


def check_view_requirements(metadata: Json | None, requirements: Sequence[Json]) -> None:
    """Check what a commit to a view requires (REST: ``ViewRequirement``).

    Raises:
        CommitConflict, InvalidRequest
    """
    for requirement in requirements:
        kind = requirement.get("type")
        if kind == "assert-view-uuid" and metadata is not None:
            _same("UUID", metadata["view-uuid"], requirement.get("uuid"))
        elif kind == "assert-create":
            if metadata is not None:
                raise CommitConflict("Requirement failed: the view exists already")
        else:
            raise InvalidRequest(f"there is no requirement {kind}")


def _check_ref(metadata: Json, requirement: Json) -> None:
    name, wanted = requirement.get("ref"), requirement.get("snapshot-id")
    reference = (metadata.get("refs") or {}).get(name)
    if reference is None:
        present = metadata.get("current-snapshot-id") if name == "main" else None
        present = None if present == -1 else present
    else:
        present = reference["snapshot-id"]
    if present != wanted:
        if wanted is None:
            raise CommitConflict(f"Requirement failed: {name} was created concurrently")
        if present is None:
            raise CommitConflict(f"Requirement failed: {name} is missing, expected {wanted}")
        raise CommitConflict(
            f"Requirement failed: {name} has changed: expected id {wanted} != {present}"
        )


def _same(what: str, present: object, wanted: object) -> None:
    if str(present) != str(wanted):
        raise CommitConflict(
            f"Requirement failed: {what} does not match: expected {wanted} != {present}"
        )
