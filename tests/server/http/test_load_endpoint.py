"""``/v1/load`` over real HTTP and the real gateway."""

from __future__ import annotations

import gzip

import httpx
import pyarrow as pa
import pyarrow.parquet
import pytest

from serving import eventually

CSV = b"id,zip\n1,01234\n2,00999\nx,1\n"


def load(http, data, **query):
    return http.post("/v1/load", params=query, content=data)


def rows(http, sql):
    return http.post("/v1/sql", json={"sql": sql}).json()["rows"]


def test_a_created_table_holds_the_rows_that_fit_and_the_others_are_named(http, schema):
    answer = load(
        http,
        CSV,
        format="csv",
        table=f"{schema}.t",
        mode="create",
        columns="id INTEGER, zip VARCHAR",
    ).json()
    assert (answer["rows"], answer["rejected"]) == (2, 1)
    assert answer["rejects"][0]["line"] == 4
    assert answer["rejects"][0]["column"] == "id"
    assert rows(http, f"SELECT * FROM {schema}.t ORDER BY id") == [[1, "01234"], [2, "00999"]]
    ledger = rows(
        http,
        f"SELECT count(*) FROM lakehold.ledger WHERE statement_id = '{answer['statement_id']}'",
    )
    assert ledger == [[1]]


def test_append_replace_and_compressed_files(http, schema):
    table = f"{schema}.t"
    http.post("/v1/sql", json={"sql": f"CREATE TABLE {table} (id INTEGER, zip VARCHAR)"})
    assert load(http, CSV, format="csv", table=table).json()["rows"] == 2
    packed = gzip.compress(b"zip,id\n00007,7\n")
    appended = load(http, packed, format="csv", table=table, compression="gzip")
    assert appended.json()["rows"] == 1
    assert rows(http, f"SELECT zip FROM {table} WHERE id = 7") == [["00007"]]
    sink = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.table({"a": [1.5]}), sink)
    replaced = load(
        http, sink.getvalue().to_pybytes(), format="parquet", table=table, mode="replace"
    )
    assert replaced.status_code == 200, replaced.text
    assert rows(http, f"SELECT * FROM {table}") == [[1.5]]


def test_strict_writes_nothing(http, schema):
    table = f"{schema}.t"
    http.post("/v1/sql", json={"sql": f"CREATE TABLE {table} (id INTEGER, zip VARCHAR)"})
    refused = load(http, CSV, format="csv", table=table, strict="true")
    assert refused.status_code == 400
    assert "line 4" in refused.json()["error"]["message"]
    assert rows(http, f"SELECT count(*) FROM {table}") == [[0]]


def test_json_lines_with_nested_values(http, schema):
    data = b'{"a": 1, "b": {"c": [1, 2]}}\n{"a": 2, "b": null}\n'
    answer = load(http, data, format="ndjson", table=f"{schema}.j", mode="create")
    assert answer.status_code == 200, answer.text
    assert rows(http, f"SELECT * FROM {schema}.j ORDER BY a") == [[1, {"c": [1, 2]}], [2, None]]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"format": "csv"}, 400),
        ({"table": "t"}, 400),
        ({"table": "t", "format": "docx"}, 400),
        ({"table": "t; DROP TABLE x", "format": "csv"}, 400),
        ({"table": "nope.nope", "format": "csv"}, 404),
        ({"table": "t", "format": "csv", "mode": "merge"}, 400),
        ({"table": "t", "format": "csv", "strict": "yes"}, 400),
        ({"table": "t", "format": "csv", "columns": "a INTEGER) FROM x"}, 400),
        ({"table": "t", "format": "csv", "delimiter": "ab"}, 400),
        ({"table": "t", "format": "csv", "nope": "1"}, 400),
    ],
)
def test_a_wrong_request_is_a_typed_error_and_leaves_no_file(http, platform, query, status):
    response = load(http, CSV, **query)
    assert response.status_code == status, response.text
    assert response.json()["error"]["code"]
    eventually(lambda: platform.parts.staging.used_bytes == 0)


def test_who_may_not_write_loads_nothing(platform, http, schema, analyst_token):
    http.post("/v1/sql", json={"sql": f"CREATE TABLE {schema}.t (id INTEGER, zip VARCHAR)"})
    with httpx.Client(
        base_url=platform.url, headers={"Authorization": f"Bearer {analyst_token}"}
    ) as analyst:
        assert load(analyst, CSV, format="csv", table=f"{schema}.t").status_code == 404
        created = load(analyst, CSV, format="csv", table=f"{schema}.u", mode="create")
        assert created.status_code in {403, 404}
    assert rows(http, f"SELECT count(*) FROM {schema}.t") == [[0]]


def test_a_preview_writes_nothing(http):
    answer = http.post("/v1/load/preview?format=csv", content=b"a,b\n1,2020-01-02\n").json()
    assert answer["columns"] == [{"name": "a", "type": "BIGINT"}, {"name": "b", "type": "DATE"}]
    assert answer["rows"] == [[1, "2020-01-02"]]
