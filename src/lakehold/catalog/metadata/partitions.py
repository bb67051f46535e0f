"""Partition specs: bound to a schema, checked, and the ids of their fields.

Source: Iceberg spec, "Partitioning", "Partition Evolution".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lakehold.catalog.metadata.schemas import fields_of
from lakehold.catalog.metadata.transforms import check_transform
from lakehold.errors import InvalidDefinition

Json = dict[str, Any]

FIRST_ID = 1000
"""Iceberg spec: ids of partition fields start here."""

NO_ID = FIRST_ID - 1
"""``last-partition-id`` of a table that was never partitioned."""


def bound_spec(
    spec: Json | None, schema: Json, *, spec_id: int, last_id: int, known: Iterable[Json]
) -> Json:
    """A spec with ids for its fields, checked against a schema.

    A field that former specs have too keeps its id (spec v2: equivalent fields share an id).

    Args:
        last_id: the highest id that a partition field ever had.
        known: the specs that there are.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    given = (spec or {}).get("fields", [])
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise InvalidDefinition("a partition spec has a list of fields")
    earlier = {_key(item): item["field-id"] for other in known for item in other["fields"]}
    taken = {number: key for key, number in earlier.items()}
    last_id = max(last_id, NO_ID, *(i for i in map(_given_id, given) if i is not None), 0)
    fields: list[Json] = []
    for item in given:
        number = _given_id(item)
        if number is None:
            number = earlier.get(_key(item))
        elif taken.get(number, _key(item))[:2] != _key(item)[:2]:
            raise InvalidDefinition(f"the partition field id {number} was another field's")
        if number is None:
            last_id += 1
            number = last_id
        fields.append({**item, "field-id": number})
    bound = {**(spec or {}), "spec-id": spec_id, "fields": fields}
    check_spec(bound, schema)
    return bound


def _given_id(item: Json) -> int | None:
    number = item.get("field-id")
    if number is None:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise InvalidDefinition("the id of a partition field is a number")
    return number


def _key(item: Json) -> tuple[Any, ...]:
    return source_of(item), item.get("transform"), item.get("name")


def source_of(item: Json) -> int | None:
    """The field that a partition or sort field is made of (v3: a list, here of one)."""
    sources = item.get("source-ids")
    if sources is None:
        number = item.get("source-id")
        return number if isinstance(number, int) else None
    if not isinstance(sources, list) or len(sources) != 1:
        raise InvalidDefinition("a transform of several columns is not known")
    return int(sources[0])


def check_spec(spec: Json, schema: Json) -> None:
    """Refuse a spec that does not fit a schema.

    Raises:
        InvalidDefinition: naming what is wrong.
    """
    fields = fields_of(schema)
    columns = {item["name"].lower(): item["id"] for item in schema["fields"]}
    names: set[str] = set()
    terms: set[tuple[Any, ...]] = set()
    numbers: set[int] = set()
    for item in spec["fields"]:
        name, transform, source = item.get("name"), item.get("transform"), source_of(item)
        if not isinstance(name, str) or not name:
            raise InvalidDefinition("every partition field has a name")
        if not isinstance(transform, str):
            raise InvalidDefinition(f'the partition field "{name}" has no transform')
        if name.lower() in names:
            raise InvalidDefinition(f'two partition fields are named "{name}"')
        if item["field-id"] in numbers:
            raise InvalidDefinition(f"two partition fields have the id {item['field-id']}")
        names.add(name.lower())
        numbers.add(item["field-id"])
        if transform == "void":
            continue
        field = fields.get(source) if source is not None else None
        if field is None:
            raise InvalidDefinition(f"there is no field {source} to partition by")
        if not field.in_struct:
            raise InvalidDefinition(
                f'"{field.name}" cannot partition a table: it is within a list or map'
            )
        check_transform(transform, field.type, field.name)
        clash = columns.get(name.lower())
        if clash is not None and not (transform == "identity" and clash == source):
            raise InvalidDefinition(f'the partition field "{name}" has the name of a column')
        if (source, transform) in terms:
            raise InvalidDefinition(f'the table is partitioned by {transform} of "{name}" twice')
        terms.add((source, transform))


def same_spec(one: Json, other: Json) -> bool:
    """Whether two specs partition alike, under the same names."""
    return [_key(item) for item in one["fields"]] == [_key(item) for item in other["fields"]]
