"""DuckDB's type texts and Iceberg's JSON, compared with what DuckDB itself says."""

from __future__ import annotations

from itertools import count
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehold.catalog.type_text import parse_type
from lakehold.catalog.types import duckdb_type, iceberg_type, may_become, schema_json
from lakehold.errors import InvalidDefinition


def stored(text: str, first: int = 1) -> tuple[Any, str | None]:
    return iceberg_type(text, count(first).__next__)


def shown(text: str) -> str:
    """The text that DuckDB gives a type, by Lakehold's reading of it."""
    kept, logical = stored(text)
    return logical or duckdb_type(kept)


SAME = {
    "BOOLEAN": "boolean",
    "INTEGER": "int",
    "BIGINT": "long",
    "FLOAT": "float",
    "DOUBLE": "double",
    "DECIMAL(10,2)": "decimal(10, 2)",
    "DATE": "date",
    "TIME": "time",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "TIMESTAMP_NS": "timestamp_ns",
    "VARCHAR": "string",
    "UUID": "uuid",
    "BLOB": "binary",
    "VARIANT": "variant",
}

LOGICAL = {
    "JSON": "string",
    "TINYINT": "int",
    "SMALLINT": "int",
    "UTINYINT": "int",
    "USMALLINT": "int",
    "UINTEGER": "long",
    "UBIGINT": "decimal(20, 0)",
    "HUGEINT": "decimal(38, 0)",
    "ENUM('a', 'it''s')": "string",
    "INTERVAL": "string",
    "BIT": "string",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIME WITH TIME ZONE": "string",
}


@pytest.mark.parametrize(("text", "kind"), SAME.items())
def test_types_of_both_are_the_same_both_ways(text: str, kind: str) -> None:
    assert stored(text) == (kind, None)
    assert duckdb_type(kind) == text


@pytest.mark.parametrize(("text", "kind"), LOGICAL.items())
def test_types_that_iceberg_lacks_are_stored_as_another_and_remembered(
    text: str, kind: str
) -> None:
    assert stored(text) == (kind, text)


@pytest.mark.parametrize(
    "text",
    [
        *("BOOL", "LOGICAL", "INT", "int4", "SIGNED", "INTEGRAL", "LONG", "INT8", "OID", "SHORT"),
        *("INT1", "INT2", "INT128", "UINT8", "UINT16", "UINT32", "UINT64", "FLOAT4", "REAL"),
        *("FLOAT8", "DOUBLE PRECISION", "FLOAT(20)", "FLOAT(53)", "DECIMAL", "NUMERIC(5)"),
        *("DEC(4, 2)", "NUMERIC(38,38)", "STRING", "TEXT", "CHAR(3)", "BPCHAR", "NVARCHAR"),
        *("VARCHAR(10)", "CHARACTER VARYING(3)", "BYTEA", "BINARY", "VARBINARY", "GUID"),
        *("BITSTRING", "BIT(3)", "DATETIME", "TIMESTAMP_US", "TIMESTAMPTZ", "TIMETZ"),
        *("TIMESTAMP WITHOUT TIME ZONE", "TIME WITHOUT TIME ZONE", "timestamp with time zone"),
        *("TIMESTAMP(0)", "TIMESTAMP(3)", "TIMESTAMP(6)", "TIMESTAMP(9)", "INTERVAL DAY"),
        *("INTERVAL YEAR TO MONTH", "INT[]", "INT[][]", "FLOAT[3]", "INT ARRAY", "INT ARRAY[3]"),
        *("INT[2][]", "DECIMAL(10,2)[]", "ROW(a INT)", 'STRUCT(a INT, "b c" TEXT[])'),
        *('STRUCT(Ab INT, "select" INT, "left" INT, "values" INT, "date" INT)', "MAP(TEXT, INT4)"),
        *('STRUCT("a""b" INT, "ä" INT)', "STRUCT(x STRUCT(y MAP(INT, JSON[])))[]"),
        *("MAP(INT,STRUCT(x TINYINT))", "ENUM('a','b''c')", "ENUM('a')[]", "STRUCT(a INT)[2]"),
        *(" INT ", "STRUCT( a  INT , b\nTEXT )", "DOUBLE\nPRECISION"),
    ],
)
def test_a_text_means_what_it_means_to_duckdb(text: str) -> None:
    [expected] = duckdb.connect().sql(f"SELECT NULL::{text} x").types
    assert shown(text) == str(expected)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("UHUGEINT", "UHUGEINT"),
        ("BIGNUM", "BIGNUM"),
        ("VARINT", "BIGNUM"),
        ("UNION(a INT, b TEXT)", "UNION"),
        ("STRUCT(a UNION(b INT))", "UNION"),
        ("GEOMETRY", "GEOMETRY"),
        ("GEOMETRY('EPSG:4326')", "GEOMETRY"),
        ("TIME_NS", "TIME_NS"),
        ('"NULL"', "NULL"),
        ("NUMBER", "NUMBER"),
        ("DECIMAL(39,1)", "38"),
        ("DECIMAL(0,0)", "38"),
        ("DECIMAL(3,4)", "after the point"),
        ("STRUCT(a INT, A INT)", "two fields"),
        ("ENUM('a','a')", "once"),
        ("INT[0]", "length"),
        ("TIMESTAMP(10)", "9 digits"),
        *((text, "not a type") for text in ("", "  ", "INT[", "INT]", "STRUCT()", "STRUCT(a)")),
        *((text, "not a type") for text in ("MAP(INT)", "ENUM()", "ENUM(a)", "INT INT", "INT;")),
        *((text, "not a type") for text in ("'INT'", "DECIMAL(a)", "DECIMAL(-1)", "VARCHAR(")),
        *((text, "not a type") for text in ("INT--x", "STRUCT(a INT,)", "UNION(a INT", "1")),
        ("INT" + "[]" * 100, "64 levels"),
        ("STRUCT(a " * 100 + "INT" + ")" * 100, "64 levels"),
        ("x" * 200_000, "100000 characters"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(InvalidDefinition, match=why):
        stored(text)


def test_nested_fields_take_fresh_ids_each_once() -> None:
    kept, logical = stored("STRUCT(j JSON, m MAP(VARCHAR, INTEGER[]), t TINYINT)", 10)
    assert logical == "STRUCT(j JSON, m MAP(VARCHAR, INTEGER[]), t TINYINT)"
    assert [(item["id"], item["name"]) for item in kept["fields"]] == [
        (10, "j"),
        (11, "m"),
        (12, "t"),
    ]
    mapping = kept["fields"][1]["type"]
    assert (mapping["key-id"], mapping["value-id"]) == (13, 14)
    assert mapping["value"]["element-id"] == 15
    assert duckdb_type(kept) == "STRUCT(j VARCHAR, m MAP(VARCHAR, INTEGER[]), t INTEGER)"


def test_an_array_of_a_length_is_a_list_that_remembers_it() -> None:
    kept, logical = stored("FLOAT[384]")
    assert (duckdb_type(kept), logical) == ("FLOAT[]", "FLOAT[384]")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("decimal(9,2)", "DECIMAL(9,2)"),
        ("fixed[16]", "BLOB"),
        ("timestamptz_ns", "TIMESTAMP WITH TIME ZONE"),
        ("geometry(srid:3857)", "GEOMETRY"),
        ("something_of_v9", "VARCHAR"),
    ],
)
def test_iceberg_types_of_other_writers_are_shown(kind: str, text: str) -> None:
    assert duckdb_type(kind) == text


def test_a_schema_numbers_columns_first_and_what_is_in_them_then() -> None:
    schema, logical = schema_json(
        [
            ("a", "INT", True, None),
            ("b", "STRUCT(c JSON)", False, "a remark"),
            ("d", "JSON", False, None),
        ]
    )
    assert schema == {
        "type": "struct",
        "schema-id": 0,
        "fields": [
            {"id": 1, "name": "a", "required": True, "type": "int"},
            {
                "id": 2,
                "name": "b",
                "required": False,
                "type": {
                    "type": "struct",
                    "fields": [{"id": 4, "name": "c", "required": False, "type": "string"}],
                },
                "doc": "a remark",
            },
            {"id": 3, "name": "d", "required": False, "type": "string"},
        ],
    }
    assert logical == {2: "STRUCT(c JSON)", 3: "JSON"}


def test_a_schema_names_the_column_whose_type_cannot_be() -> None:
    with pytest.raises(InvalidDefinition, match='column "y": .*UHUGEINT') as caught:
        schema_json([("x", "INT", False, None), ("y", "UHUGEINT", False, None)])
    assert caught.value.hint is not None


@pytest.mark.parametrize(
    ("shown_type", "wanted"),
    [
        *(("TINYINT", "INT"), ("INT", "BIGINT"), ("UTINYINT", "SMALLINT"), ("UBIGINT", "HUGEINT")),
        *(("UBIGINT", "DECIMAL(20,0)"), ("HUGEINT", "DECIMAL(38,0)"), ("USMALLINT", "UINTEGER")),
        *(("DECIMAL(9,2)", "DECIMAL(12,2)"), ("REAL", "DOUBLE"), ("JSON", "TEXT")),
        *(("ENUM('a')", "ENUM('b','a')"), ("ENUM('a')", "VARCHAR"), ("INT[3]", "BIGINT[]")),
        *(("TIMESTAMP_S", "TIMESTAMP"), ("TIMESTAMP_MS", "DATETIME"), ("INT", "INTEGER")),
        ("STRUCT(a JSON)", "STRUCT(a JSON)"),
    ],
)
def test_a_column_may_show_a_wider_type_and_not_go_back(shown_type: str, wanted: str) -> None:
    assert may_become(shown_type, wanted)
    same = stored(shown_type) == stored(wanted)
    assert same or stored(shown_type)[1] == "HUGEINT" or not may_become(wanted, shown_type)


@pytest.mark.parametrize(
    ("shown_type", "wanted"),
    [
        *(("INT", "TINYINT"), ("INT", "UINTEGER"), ("VARCHAR", "JSON"), ("VARCHAR", "ENUM('a')")),
        *(("ENUM('a','b')", "ENUM('a')"), ("FLOAT[]", "FLOAT[3]"), ("FLOAT[2]", "FLOAT[3]")),
        *(("TIMESTAMP", "TIMESTAMP_S"), ("DECIMAL(9,2)", "DECIMAL(12,3)"), ("JSON", "BIT")),
        *(("HUGEINT", "UBIGINT"), ("INT", "VARCHAR"), ("STRUCT(a VARCHAR)", "STRUCT(a JSON)")),
    ],
)
def test_a_column_cannot_show_a_narrower_or_another_type(shown_type: str, wanted: str) -> None:
    assert not may_become(shown_type, wanted)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)
LEAVES = st.sampled_from([*SAME, *LOGICAL])


def _structs(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    fields = st.lists(st.tuples(NAMES, inner), min_size=1, max_size=3, unique_by=_folded)
    return fields.map(lambda given: "STRUCT(" + ", ".join(map(_written, given)) + ")")


def _folded(field: tuple[str, str]) -> str:
    return field[0].lower()


def _written(field: tuple[str, str]) -> str:
    name = field[0].replace('"', '""')
    return f'"{name}" {field[1]}'


TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map("{}[]".format),
        inner.map("{}[3]".format),
        st.tuples(inner, inner).map(lambda pair: f"MAP({pair[0]}, {pair[1]})"),
        _structs(inner),
    ),
    max_leaves=6,
)


@given(TYPES)
@settings(max_examples=200, deadline=None)
def test_what_is_shown_of_a_type_means_the_same_type(text: str) -> None:
    kept, logical = stored(text)
    once = logical or duckdb_type(kept)
    again, logical_again = stored(once)
    assert (again, logical_again or duckdb_type(again)) == (kept, once)
    assert logical is None or duckdb_type(kept) != logical


@given(st.text(max_size=40))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_type_or_refused(text: str) -> None:
    try:
        parse_type(text)
    except InvalidDefinition:
        pass
