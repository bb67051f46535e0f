"""Sort orders, bound to a schema."""

from __future__ import annotations

from typing import Any

from lakehold.catalog.metadata.schemas import walk
from lakehold.catalog.metadata.transforms import check_transform
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]


def bound_order(order: Json | None, schema: Json, *, order_id: int) -> Json:
    """An order, checked against a schema.

    Raises:
        InvalidDefinition
    """
    columns = {item["id"]: (path, item) for path, item in walk(schema)}
    fields = list((order or {}).get("fields", ()))
    for item in fields:
        if item.get("source-id") not in columns:
            raise InvalidDefinition(f"there is no field {item.get('source-id')} to sort by")
        path, column = columns[item["source-id"]]
        check_transform(item.get("transform", ""), column["type"], ".".join(path))
        if item.get("direction") not in ("asc", "desc"):
            raise InvalidDefinition("a sort direction is asc or desc")
        if item.get("null-order") not in ("nulls-first", "nulls-last"):
            raise InvalidDefinition("a null order is nulls-first or nulls-last")
    return {**(order or {}), "order-id": order_id, "fields": fields}
