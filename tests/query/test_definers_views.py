"""A definer's view tells nobody what it is made of, not even when it no longer fits."""

from __future__ import annotations

import pytest

from actors import Actor, person
from lakehold.errors import InvalidDefinition, UndefinedColumn


@pytest.fixture
def reader(admin: Actor, schema: str) -> Actor:
    admin.run(f"CREATE OR REPLACE TABLE {schema}.base (id INTEGER, hush VARCHAR)")
    admin.run(
        f"CREATE OR REPLACE VIEW {schema}.v SQL SECURITY DEFINER AS "
        f"SELECT id, upper(hush) AS shown FROM {schema}.base"
    )
    return person(admin, f"USAGE ON SCHEMA {schema}", f"SELECT ON VIEW {schema}.v")


def test_a_view_that_no_longer_fits_does_not_name_its_columns(
    admin: Actor, reader: Actor, schema: str
) -> None:
    admin.run(f"ALTER TABLE {schema}.base RENAME COLUMN hush TO hushed")
    with pytest.raises(InvalidDefinition) as caught:
        reader.run(f"SELECT id FROM {schema}.v")
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"


def test_a_column_that_the_reader_wrote_is_named(reader: Actor, schema: str) -> None:
    with pytest.raises(UndefinedColumn) as caught:
        reader.run(f"SELECT nope FROM {schema}.v")
    assert "nope" in caught.value.message
