"""The first metadata of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakehold.catalog.metadata.partitions import bound_spec
from lakehold.catalog.metadata.schemas import check_schema, highest_id, with_fresh_ids
from lakehold.catalog.metadata.sorting import bound_order
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

FORMAT_PROPERTY = "format-version"
FORMAT_DEFAULT = 2
FORMATS = (1, 2, 3)


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
    fresh, ids = with_fresh_ids(schema)
    fresh = {**fresh, "schema-id": 0}
    if "identifier-field-ids" in fresh:
        fresh["identifier-field-ids"] = [ids.get(i, i) for i in fresh["identifier-field-ids"]]
    check_schema(fresh, version)
    spec = bound_spec(_moved(partition_spec, ids), fresh, spec_id=0, last_id=999, known=())
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
        "last-partition-id": max((f["field-id"] for f in spec["fields"]), default=999),
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
    if version == 1:
        metadata |= {"schema": fresh, "partition-spec": spec["fields"]}
        metadata.pop("last-sequence-number")
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
    """A spec or an order whose sources are given by old field ids."""
    if part is None:
        return None
    fields = [
        {**item, "source-id": ids.get(item["source-id"], item["source-id"])}
        if "source-id" in item
        else item
        for item in part.get("fields", ())
    ]
    return {**part, "fields": fields}
