"""Sort orders, bound to a schema (Iceberg spec: "Sorting")."""

from __future__ import annotations

from typing import Any

from lakehold.catalog.metadata.partitions import source_of
from lakehold.catalog.metadata.schemas import fields_of
from lakehold.catalog.metadata.transforms import check_transform
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]


def bound_order(order: Json | None, schema: Json, *, order_id: int) -> Json:
    """An order with an id, checked against a schema.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    fields = (order or {}).get("fields", [])
    if not isinstance(fields, list) or not all(isinstance(item, dict) for item in fields):
        raise InvalidDefinition("a sort order has a list of fields")
    bound = {**(order or {}), "order-id": order_id, "fields": fields}
    check_order(bound, schema)
    return bound


def check_order(order: Json, schema: Json) -> None:
    """Refuse an order that does not fit a schema.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    fields = fields_of(schema)
    for item in order["fields"]:
        source = source_of(item)
        field = fields.get(source) if source is not None else None
        if field is None:
            raise InvalidDefinition(f"there is no field {source} to sort by")
        if not field.in_struct:
            raise InvalidDefinition(
                f'"{field.name}" cannot sort a table: it is within a list or map'
            )
        transform = item.get("transform")
        if not isinstance(transform, str):
            raise InvalidDefinition(f'the sort field of "{field.name}" has no transform')
        check_transform(transform, field.type, field.name)
        if item.get("direction") not in ("asc", "desc"):
            raise InvalidDefinition("a sort direction is asc or desc")
        if item.get("null-order") not in ("nulls-first", "nulls-last"):
            raise InvalidDefinition("a null order is nulls-first or nulls-last")


def same_order(one: Json, other: Json) -> bool:
    """Whether two orders sort alike."""
    return _keys(one) == _keys(other)


def _keys(order: Json) -> list[tuple[Any, ...]]:
    return [
        (source_of(item), item["transform"], item["direction"], item["null-order"])
        for item in order["fields"]
    ]
