"""Partition specs: binding them to a schema, and the ids of their fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakehold.catalog.metadata.schemas import walk
from lakehold.catalog.metadata.transforms import check_transform
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

FIRST_ID = 1000
"""Iceberg spec: ids of partition fields start here."""


def bound_spec(
    spec: Json | None, schema: Json, *, spec_id: int, last_id: int, known: Iterable[Json]
) -> Json:
    """A spec with ids for its fields, checked against a schema.

    Args:
        last_id: the highest id that a partition field ever had.
        known: the specs that there are; a field that is the same keeps its id (spec v2).

    Raises:
        InvalidDefinition
    """
    columns = {item["id"]: (path, item) for path, item in walk(schema)}
    top = {item["name"].lower(): item["id"] for item in schema["fields"]}
    earlier = {
        (item["source-id"], item["transform"]): item["field-id"]
        for other in known
        for item in other["fields"]
        if "field-id" in item
    }
    fields: list[Json] = []
    names: set[str] = set()
    for item in (spec or {}).get("fields", ()):
        source, transform, name = item.get("source-id"), item.get("transform"), item.get("name")
        if source not in columns and transform != "void":
            raise InvalidDefinition(f"there is no field {source} to partition by")
        if not name or name in names:
            raise InvalidDefinition(f"two partition fields are named {name}")
        names.add(name)
        if source in columns:
            path, column = columns[source]
            check_transform(transform, column["type"], ".".join(path))
        clash = top.get(name.lower())
        if clash is not None and not (transform == "identity" and clash == source):
            if transform != "void":
                raise InvalidDefinition(
                    f"the partition field {name} has the name of another column"
                )
        field_id = item.get("field-id") or earlier.get((source, transform))
        if field_id is None:
            last_id = max(last_id, FIRST_ID - 1) + 1
            field_id = last_id
        fields.append({**item, "field-id": field_id})
    same = [(f["source-id"], f["transform"]) for f in fields if f["transform"] != "void"]
    if len(set(same)) != len(same):
        raise InvalidDefinition("the table is partitioned twice in the same way")
    return {**(spec or {}), "spec-id": spec_id, "fields": fields}


def same_spec(one: Json, other: Json) -> bool:
    """Whether two specs partition alike."""

    def key(spec: Json) -> list[tuple[Any, ...]]:
        return [(f["source-id"], f["transform"], f["name"]) for f in spec["fields"]]

    return key(one) == key(other)
