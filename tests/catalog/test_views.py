"""Views are kept as Iceberg views."""

from __future__ import annotations

import pytest

from lakehold.catalog import Catalog, ViewDefinition
from lakehold.errors import DuplicateTable
from lakehold.state import Database
from tests.catalog.lake import NUMBERS, create, find, name


def test_a_view_keeps_its_text_its_rights_and_its_columns(
    catalog: Catalog, database: Database
) -> None:
    transaction = catalog.begin()
    transaction.create_schema("Sales")
    transaction.create_view(
        name("v"),
        "SELECT x FROM t",
        [("x", "BIGINT"), ("doc", "JSON")],
        rights="definer",
        owner="ada",
        schema="Sales",
        comment="what counts",
    )
    transaction.commit()
    found = find(catalog, database, "v")
    assert found is not None
    assert found.kind == "view"
    assert found.view == ViewDefinition("SELECT x FROM t", "Sales", "definer", "ada")
    assert [(c.name, c.type) for c in found.columns] == [("x", "BIGINT"), ("doc", "JSON")]
    assert found.comment == "what counts"


def test_a_view_is_replaced_only_when_asked_and_only_by_a_view(
    catalog: Catalog, database: Database
) -> None:
    for _ in range(2):
        transaction = catalog.begin()
        transaction.create_view(
            name("v"), "SELECT 1 AS a", [("a", "INTEGER")], owner="ada", replace=True
        )
        transaction.commit()
    first = find(catalog, database, "v")
    transaction = catalog.begin()
    with pytest.raises(DuplicateTable):
        transaction.create_view(name("v"), "SELECT 2 AS a", [("a", "INTEGER")], owner="ada")
    transaction.create_view(
        name("v"), "SELECT 'b' AS b", [("b", "VARCHAR")], owner="bob", replace=True
    )
    transaction.commit()
    found = find(catalog, database, "v")
    assert first is not None
    assert found is not None
    assert found.id == first.id
    assert found.version == first.version + 1
    assert found.view == ViewDefinition("SELECT 'b' AS b", "main", "invoker", "bob")
    assert [column.name for column in found.columns] == ["b"]
    create(catalog, "t")
    transaction = catalog.begin()
    with pytest.raises(DuplicateTable):
        transaction.create_view(
            name("t"), "SELECT 1 AS a", [("a", "INTEGER")], owner="ada", replace=True
        )


def test_a_view_of_another_dialect_cannot_be_run_and_is_kept(
    catalog: Catalog, database: Database
) -> None:
    transaction = catalog.begin()
    version = {
        "version-id": 1,
        "schema-id": 0,
        "timestamp-ms": 0,
        "summary": {},
        "default-namespace": ["main"],
        "representations": [{"type": "sql", "sql": "SELECT 1", "dialect": "spark"}],
    }
    transaction.create_view_from(name("v"), NUMBERS, version, {"a": "1"})
    transaction.commit()
    found = find(catalog, database, "v")
    assert found is not None
    assert found.view is None
    assert found.kind == "view"


def test_a_dropped_view_takes_its_metadata_along(catalog: Catalog, database: Database) -> None:
    transaction = catalog.begin()
    transaction.create_view(name("v"), "SELECT 1 AS a", [("a", "INTEGER")], owner="ada")
    transaction.commit()
    transaction = catalog.begin()
    transaction.drop(name("v"), "view")
    transaction.commit()
    assert find(catalog, database, "v") is None
    with database.transaction() as conn:
        assert catalog.dropped(conn) == []
