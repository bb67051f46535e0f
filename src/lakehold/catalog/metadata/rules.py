"""What a commit may do to a table's structure without breaking those who read it.

Checked once, on what a commit makes of a table, so that the order of its updates is free.

Source: Iceberg spec, "Schema Evolution" and "Partition Evolution"; and measured: filtered
reads by DuckDB fail on a table whose *former* partitioning used a column that is gone.
"""

from __future__ import annotations

from typing import Any

from lakehold.catalog.metadata.draft import Draft, Json, item_of
from lakehold.catalog.metadata.partitions import check_spec
from lakehold.catalog.metadata.schemas import Field, fields_of, may_promote, walk
from lakehold.catalog.metadata.sorting import check_order
from lakehold.errors import InvalidDefinition

_STRUCTURE = (
    "schemas",
    "current-schema-id",
    "partition-specs",
    "default-spec-id",
    "sort-orders",
    "default-sort-order-id",
)


def check_structure(draft: Draft) -> None:
    """Refuse a structure with which readers or writers of the table would fail.

    Raises:
        InvalidDefinition: naming the column and the reason.
    """
    state, base = draft.state, draft.base
    if base is not None and all(state.get(key) == base.get(key) for key in _STRUCTURE):
        return
    schema = item_of(draft.items("schemas"), "schema-id", state["current-schema-id"])
    spec = item_of(draft.items("partition-specs"), "spec-id", state["default-spec-id"])
    order = item_of(draft.items("sort-orders"), "order-id", state["default-sort-order-id"])
    if schema is None or spec is None or order is None:
        raise InvalidDefinition("the current schema, partition spec or sort order is missing")
    if base is not None:
        former = item_of(base["schemas"], "schema-id", base["current-schema-id"])
        if former is not None and former is not schema:
            _check_change(draft, base, former, schema)
    check_spec(spec, schema)
    check_order(order, schema)


def _check_change(draft: Draft, base: Json, former: Json, schema: Json) -> None:
    before, after = fields_of(former), fields_of(schema)
    used = _partitioning(draft)
    _check_dropped(before, after, used)
    for field_id, field in after.items():
        if field_id in before and field.type != before[field_id].type:
            _check_partitioned(draft, before[field_id], field, used.get(field_id))
    if not _keeps_rows(draft, base):
        return
    gone = _gone(base, before)
    for field_id, field in after.items():
        if field_id not in before:
            _check_added(field, before)
            _check_returned(field, gone.get(field_id, []), draft.format_version)
            continue
        _check_type(before[field_id], field, draft.format_version)
        if field.required and not before[field_id].required:
            raise InvalidDefinition(
                f'the column "{field.name}" cannot become required: rows that are there may '
                "have no value in it",
                hint="create a table with NOT NULL and insert the rows",
            )


def _keeps_rows(draft: Draft, base: Json) -> bool:
    """Whether rows that were there are still read, and with the current schema.

    They are if the head of a branch is, or comes from, a snapshot that was there.
    """
    state = draft.state
    before = {snapshot["snapshot-id"] for snapshot in base.get("snapshots") or ()}
    references = (state.get("refs") or {}).values()
    heads = {ref["snapshot-id"] for ref in references if ref.get("type") == "branch"}
    heads.add(state.get("current-snapshot-id"))
    if not heads.isdisjoint(before):
        return True
    parents = {
        snapshot["snapshot-id"]: snapshot.get("parent-snapshot-id")
        for snapshot in draft.items("snapshots")
        if snapshot["snapshot-id"] in draft.added_snapshots
    }
    for head in heads:
        seen: set[Any] = set()
        while head in parents and head not in seen:
            seen.add(head)
            head = parents[head]
        if head in before:
            return True
    return False


def _partitioning(draft: Draft) -> dict[int, str]:
    """Field id → which partitioning or order uses it."""
    state = draft.state
    used: dict[int, str] = {}
    for spec in draft.items("partition-specs"):
        current = spec["spec-id"] == state["default-spec-id"]
        for item in spec["fields"]:
            for source in item.get("source-ids") or (item.get("source-id"),):
                if current or source not in used:
                    used[source] = "the partitioning" if current else "a former partitioning"
    for order in draft.items("sort-orders"):
        if order["order-id"] == state["default-sort-order-id"]:
            for item in order["fields"]:
                used.setdefault(item.get("source-id"), "the sort order")
    return used


def _check_dropped(before: dict[int, Field], after: dict[int, Field], used: dict[int, str]) -> None:
    for field_id, field in before.items():
        if field_id not in after and field_id in used:
            raise InvalidDefinition(
                f'the column "{field.name}" cannot be dropped: {used[field_id]} of the table '
                "uses it, and engines could no longer read the table by it",
                hint="keep the column, or make a new table from the rows",
            )


def _check_added(field: Field, before: dict[int, Field]) -> None:
    inside_new = any(parent not in before for parent in field.parents)
    if field.required and not inside_new and field.json.get("initial-default") is None:
        raise InvalidDefinition(
            f'the column "{field.name}" cannot be added as required: the rows that are there '
            "have no value in it",
            hint="add it without NOT NULL, and fill it",
        )


def _gone(base: Json, before: dict[int, Field]) -> dict[int, list[Field]]:
    """Fields that only former schemas have, by id, as each of those has them."""
    gone: dict[int, list[Field]] = {}
    for schema in base["schemas"]:
        for field in walk(schema):
            if field.id not in before:
                gone.setdefault(field.id, []).append(field)
    return gone


def _check_returned(field: Field, earlier: list[Field], format_version: int) -> None:
    """A dropped field may come back as what it was; its id cannot be given to another."""
    if not earlier:
        return
    if any(other.name == field.name for other in earlier) and all(
        may_promote(other.type, field.type, format_version) for other in earlier
    ):
        return
    raise InvalidDefinition(
        f'the column "{field.name}" cannot have the id {field.id}: it was that of '
        f'"{earlier[-1].name}", {_shown(earlier[-1].type)}, and files that are there have '
        "values for it",
        hint="a new column takes a new id",
    )


def _check_type(before: Field, after: Field, format_version: int) -> None:
    if not may_promote(before.type, after.type, format_version):
        raise InvalidDefinition(
            f'the column "{after.name}" cannot change from {_shown(before.type)} to '
            f"{_shown(after.type)}: files that are there could not be read",
            hint="int → long, float → double and more digits of a decimal are possible",
        )


def _check_partitioned(draft: Draft, before: Field, after: Field, used: str | None) -> None:
    """A promotion that changes what a transform makes of a value (spec: "Schema Evolution")."""
    if used is None or used == "the sort order":
        return
    if "date" in (before.type, after.type) or not isinstance(after.type, str):
        raise InvalidDefinition(
            f'the column "{after.name}" cannot change its type: {used} of the table uses it'
        )


def _shown(type_json: Any) -> str:
    return type_json if isinstance(type_json, str) else f"a {type_json.get('type')}"
