"""Updates of a table's structure: schemas, partition specs, sort orders."""

from __future__ import annotations

from typing import Any

from lakehold.catalog.metadata.draft import Draft, Json, item_of, needed, needed_list
from lakehold.catalog.metadata.partitions import NO_ID, bound_spec, same_spec
from lakehold.catalog.metadata.schemas import check_new_ids, check_schema, highest_id
from lakehold.catalog.metadata.sorting import bound_order, same_order
from lakehold.errors import InvalidDefinition


def add_schema(draft: Draft, update: Json) -> None:
    """``add-schema``: one that the table has is not added again.

    Its ``last-column-id`` is not asked (REST: deprecated): the fields tell it.
    """
    given = needed(update, "schema", dict)
    check_schema(given, draft.format_version)
    known = draft.items("schemas")
    wanted = given.get("schema-id")
    for schema in known:
        if _same_schema(schema, given):
            draft.schemas.add(wanted, schema["schema-id"])
            return
    check_new_ids(draft.state, given)
    number = _free(known, "schema-id", wanted, first=0)
    draft.append("schemas", {**given, "schema-id": number})
    last = int(draft.state.get("last-column-id") or 0)
    draft.state["last-column-id"] = max(last, highest_id(given))
    draft.schemas.add(wanted, number)


def _same_schema(one: Json, other: Json) -> bool:
    return bool(
        one["fields"] == other["fields"]
        and sorted(one.get("identifier-field-ids") or ())
        == sorted(other.get("identifier-field-ids") or ())
    )


def _free(known: list[Json], key: str, wanted: object, *, first: int) -> int:
    """The id that a committer wants, if it follows on and nothing has it; else one after all."""
    taken = {item[key] for item in known}
    following = max(taken, default=first - 1) + 1
    if isinstance(wanted, int) and not isinstance(wanted, bool) and first <= wanted <= following:
        return wanted if wanted not in taken else following
    return following


def set_current_schema(draft: Draft, update: Json) -> None:
    """``set-current-schema``."""
    number = draft.schemas.find(needed(update, "schema-id", int), "schema")
    if item_of(draft.items("schemas"), "schema-id", number) is None:
        raise InvalidDefinition(f"the table has no schema {number}")
    draft.state["current-schema-id"] = number


def remove_schemas(draft: Draft, update: Json) -> None:
    """``remove-schemas``: former ones that no snapshot was written with."""
    gone = set(needed_list(update, "schema-ids", int))
    state = draft.state
    if state["current-schema-id"] in gone:
        raise InvalidDefinition("the current schema cannot be removed")
    _check_known(draft, "schemas", "schema-id", gone, "schema")
    for snapshot in draft.items("snapshots"):
        if snapshot.get("schema-id") in gone:
            raise InvalidDefinition(
                f"the schema {snapshot['schema-id']} is the one of snapshot "
                f"{snapshot['snapshot-id']}"
            )
    state["schemas"] = [s for s in draft.items("schemas") if s["schema-id"] not in gone]


def add_spec(draft: Draft, update: Json) -> None:
    """``add-spec``: one that the table has is not added again."""
    given = needed(update, "spec", dict)
    known = draft.items("partition-specs")
    wanted = given.get("spec-id")
    last = int(draft.state.get("last-partition-id") or NO_ID)
    spec = bound_spec(
        given,
        draft.schema(),
        spec_id=_free(known, "spec-id", wanted, first=0),
        last_id=last,
        known=known,
    )
    for other in known:
        if same_spec(other, spec):
            draft.specs.add(wanted, other["spec-id"])
            return
    draft.append("partition-specs", spec)
    draft.state["last-partition-id"] = max(last, *(f["field-id"] for f in spec["fields"]), 0)
    draft.specs.add(wanted, spec["spec-id"])


def set_default_spec(draft: Draft, update: Json) -> None:
    """``set-default-spec``: how new files are partitioned."""
    number = draft.specs.find(needed(update, "spec-id", int), "partition spec")
    if item_of(draft.items("partition-specs"), "spec-id", number) is None:
        raise InvalidDefinition(f"the table has no partition spec {number}")
    draft.state["default-spec-id"] = number


def remove_specs(draft: Draft, update: Json) -> None:
    """``remove-partition-specs``: former ones; the committer knows that no file has them."""
    gone = set(needed_list(update, "spec-ids", int))
    if draft.state["default-spec-id"] in gone:
        raise InvalidDefinition("the default partition spec cannot be removed")
    _check_known(draft, "partition-specs", "spec-id", gone, "partition spec")
    draft.state["partition-specs"] = [
        spec for spec in draft.items("partition-specs") if spec["spec-id"] not in gone
    ]


def add_order(draft: Draft, update: Json) -> None:
    """``add-sort-order``: one that the table has is not added again; 0 is unsorted."""
    given = needed(update, "sort-order", dict)
    known = draft.items("sort-orders")
    wanted = given.get("order-id")
    order = bound_order(given, draft.schema(), order_id=0)
    for other in known:
        if same_order(other, order):
            draft.orders.add(wanted, other["order-id"])
            return
    if order["fields"]:
        order["order-id"] = _free(known, "order-id", wanted, first=1)
    draft.append("sort-orders", order)
    draft.orders.add(wanted, order["order-id"])


def set_default_order(draft: Draft, update: Json) -> None:
    """``set-default-sort-order``: how new files are sorted."""
    number = draft.orders.find(needed(update, "sort-order-id", int), "sort order")
    if number == 0 and not any(o["order-id"] == 0 for o in draft.items("sort-orders")):
        draft.append("sort-orders", {"order-id": 0, "fields": []})
    if item_of(draft.items("sort-orders"), "order-id", number) is None:
        raise InvalidDefinition(f"the table has no sort order {number}")
    draft.state["default-sort-order-id"] = number


def _check_known(draft: Draft, key: str, number: str, gone: set[int], what: str) -> None:
    known: set[Any] = {item[number] for item in draft.items(key)}
    for missing in sorted(gone - known):
        raise InvalidDefinition(f"the table has no {what} {missing}")
