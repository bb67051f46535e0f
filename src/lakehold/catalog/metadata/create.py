"""The first metadata of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakehold.catalog.metadata.partitions import NO_ID, bound_spec, source_of
from lakehold.catalog.metadata.schemas import check_schema, highest_id, with_fresh_ids
from lakehold.catalog.metadata.sorting import bound_order
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

FORMAT_PROPERTY = "format-version"
FORMAT_DEFAULT = 2
FORMATS = (2, 3)
"""Those that new tables can have. v1 cannot delete rows; tables of it can be registered."""


def new_table_metadata(
    *,
    table_uuid: str,
    location: str,
    schema: Json,
    partition_spec: Json | None,
    sort_order: Json | None,
    properties: Mapping[str, str],
    now_ms: int,
) -> Json:
    """Metadata of a new, empty table, with fresh field ids (Iceberg: ``assignFreshIds``).

    Args:
        properties: ``format-version`` among them chooses the format; v2 by default.
        now_ms: milliseconds since the epoch.

    Raises:
        InvalidDefinition: if the schema, the partitioning or the order cannot be.
    """
    kept = dict(properties)
    version = format_version(kept.pop(FORMAT_PROPERTY, str(FORMAT_DEFAULT)))
    check_schema(schema, version)
    fresh, ids = with_fresh_ids(schema)
    fresh["schema-id"] = 0
    spec = bound_spec(_moved(partition_spec, ids), fresh, spec_id=0, last_id=NO_ID, known=())
    order = bound_order(_moved(sort_order, ids), fresh, order_id=0)
    if order["fields"]:
        order = {**order, "order-id": 1}
    metadata: Json = {
        "format-version": version,
        "table-uuid": table_uuid,
        "location": location,
        "last-sequence-number": 0,
        "last-updated-ms": now_ms,
        "last-column-id": highest_id(fresh),
        "current-schema-id": 0,
        "schemas": [fresh],
        "default-spec-id": 0,
        "partition-specs": [spec],
        "last-partition-id": max((f["field-id"] for f in spec["fields"]), default=NO_ID),
        "default-sort-order-id": order["order-id"],
        "sort-orders": [order],
        "properties": kept,
        "current-snapshot-id": None,
        "refs": {},
        "snapshots": [],
        "statistics": [],
        "partition-statistics": [],
        "snapshot-log": [],
        "metadata-log": [],
    }
    if version >= 3:
        metadata["next-row-id"] = 0
    return metadata


def format_version(text: object) -> int:
    """A format version that is known.

    Raises:
        InvalidDefinition
    """
    try:
        version = int(str(text))
    except ValueError:
        version = 0
    if version not in FORMATS:
        raise InvalidDefinition(f"there is no Iceberg format version {text}", hint="2 or 3")
    return version


def _moved(part: Json | None, ids: Mapping[int, int]) -> Json | None:
    """A spec or an order whose sources are given by old field ids; its own ids are given anew."""
    if part is None:
        return None
    fields: list[Json] = []
    for item in part.get("fields") or ():
        source = source_of(item)
        moved = {k: v for k, v in item.items() if k not in ("field-id", "source-ids")}
        moved["source-id"] = ids.get(source, source) if source is not None else None
        fields.append(moved)
    return {**part, "fields": fields}
