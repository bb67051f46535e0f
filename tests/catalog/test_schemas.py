"""Schemas: named, nested, with properties."""

from __future__ import annotations

import pytest

from lakehold.catalog import Catalog
from lakehold.errors import (
    DuplicateSchema,
    InvalidDefinition,
    InvalidName,
    SchemaNotEmpty,
    UndefinedSchema,
)
from lakehold.state import Database
from tests.catalog.lake import create, find, name


def test_the_schema_main_is_there_from_the_start(catalog: Catalog, database: Database) -> None:
    with database.transaction() as conn:
        assert [schema.name for schema in catalog.schemas(conn)] == ["main"]
    transaction = catalog.begin()
    with pytest.raises(InvalidDefinition):
        transaction.drop_schema("main")


def test_a_schema_keeps_its_case_and_is_found_in_any(catalog: Catalog, database: Database) -> None:
    transaction = catalog.begin()
    transaction.create_schema("Sales", {"owner": "ada"})
    transaction.commit()
    with database.transaction() as conn:
        found = catalog.schema(conn, "sALES")
    assert found is not None
    assert (found.name, dict(found.properties)) == ("Sales", {"owner": "ada"})
    again = catalog.begin()
    with pytest.raises(DuplicateSchema):
        again.create_schema("SALES")


def test_a_nested_schema_needs_no_parent_and_protects_it(
    catalog: Catalog, database: Database
) -> None:
    transaction = catalog.begin()
    transaction.create_schema("a.b.c")
    transaction.create_schema("a")
    transaction.commit()
    with database.transaction() as conn:
        assert [schema.name for schema in catalog.schemas(conn)] == ["a", "a.b.c", "main"]
    with pytest.raises(SchemaNotEmpty):
        catalog.begin().drop_schema("a")


@pytest.mark.parametrize("bad", ["", "a..b", ".a", "a.", "a\n", "x" * 256])
def test_a_name_that_cannot_name_a_schema_is_refused(catalog: Catalog, bad: str) -> None:
    with pytest.raises(InvalidName):
        catalog.begin().create_schema(bad)


@pytest.mark.parametrize("own", ["information_schema", "Lakehold", "PG_CATALOG"])
def test_the_platforms_own_schemas_cannot_be_made(catalog: Catalog, own: str) -> None:
    with pytest.raises(InvalidDefinition):
        catalog.begin().create_schema(own)


def test_a_schema_with_a_table_cannot_be_dropped(catalog: Catalog, database: Database) -> None:
    transaction = catalog.begin()
    transaction.create_schema("s")
    transaction.commit()
    create(catalog, "s.t")
    with pytest.raises(SchemaNotEmpty):
        catalog.begin().drop_schema("s")
    transaction = catalog.begin()
    transaction.drop(name("s.t"))
    transaction.drop_schema("S")
    transaction.commit()
    with database.transaction() as conn:
        assert catalog.schema(conn, "s") is None


def test_properties_are_set_and_removed(catalog: Catalog, database: Database) -> None:
    transaction = catalog.begin()
    transaction.create_schema("s", {"a": "1", "b": "2"})
    transaction.commit()
    transaction = catalog.begin()
    transaction.set_schema_properties("s", {"c": "3"}, ["a", "none"])
    changed = transaction.set_schema_properties("s", {"b": "4"})
    assert dict(changed.properties) == {"b": "4", "c": "3"}
    transaction.commit()
    with database.transaction() as conn:
        found = catalog.schema(conn, "s")
    assert found is not None
    assert dict(found.properties) == {"b": "4", "c": "3"}


def test_a_schema_dropped_and_made_again_is_another(catalog: Catalog, database: Database) -> None:
    transaction = catalog.begin()
    first = transaction.create_schema("s")
    transaction.commit()
    transaction = catalog.begin()
    transaction.drop_schema("s")
    second = transaction.create_schema("S")
    transaction.commit()
    with database.transaction() as conn:
        found = catalog.schema(conn, "s")
    assert found is not None
    assert (found.id, found.name) == (second.id, "S")
    assert first.id != second.id


def test_what_is_in_an_unknown_schema_cannot_be_made_or_found(
    catalog: Catalog, database: Database
) -> None:
    with pytest.raises(UndefinedSchema):
        create(catalog, "none.t")
    with pytest.raises(UndefinedSchema):
        catalog.begin().drop_schema("none")
    assert find(catalog, database, "none.t") is None
