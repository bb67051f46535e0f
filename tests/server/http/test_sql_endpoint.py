"""``POST /v1/sql`` over real HTTP."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
import uuid

import httpx
import msgspec
import pyarrow as pa
import pytest
import zstandard

from serving import eventually

ARROW = "application/vnd.apache.arrow.stream"


def run(http, sql, parameters=None, accept="application/json", **body):
    return http.post(
        "/v1/sql",
        json={"sql": sql, "parameters": parameters, **body},
        headers={"Accept": accept},
    )


def error_of(response):
    body = response.json()
    assert body.keys() == {"error"}
    assert set(body["error"]) == {
        "code",
        "sqlstate",
        "message",
        "hint",
        "position",
        "statement_id",
    }
    return body["error"]


def arrow_bytes(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def test_json_holds_columns_rows_and_the_statement(http):
    response = run(http, "SELECT 1 AS a, 'x' AS b, DATE '2020-01-02' AS c, 1.50 AS d")
    body = response.json()
    assert response.status_code == 200
    assert body["rows"] == [[1, "x", "2020-01-02", "1.50"]]
    assert [column["name"] for column in body["columns"]] == ["a", "b", "c", "d"]
    assert body["columns"][2]["type"] == "DATE"
    assert body["statement_id"] == response.headers["lakehold-statement-id"]
    assert body["kind"] == "SELECT"


def test_arrow_ndjson_and_csv_hold_the_same_rows(http):
    sql = "SELECT i AS id, 'n' || i AS name FROM range(3) t(i)"
    table = pa.ipc.open_stream(run(http, sql, accept=ARROW).content).read_all()
    assert table.to_pylist()[2] == {"id": 2, "name": "n2"}
    assert table.schema.field("id").metadata[b"lakehold.type"] == b"BIGINT"
    lines = run(http, sql, accept="application/x-ndjson").text.splitlines()
    assert json.loads(lines[2]) == {"id": 2, "name": "n2"}
    rows = list(csv.reader(io.StringIO(run(http, sql, accept="text/csv").text)))
    assert rows == [["id", "name"], ["0", "n0"], ["1", "n1"], ["2", "n2"]]


def test_csv_tells_null_from_an_empty_text(http):
    text = run(http, "SELECT NULL AS a, '' AS b", accept="text/csv").text
    assert text == '"a","b"\n,""\n'


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_text_is_compressed_if_the_client_asks(http, coding):
    with http.stream(
        "POST",
        "/v1/sql",
        json={"sql": "SELECT 'x' AS a FROM range(10000)"},
        headers={"Accept-Encoding": coding},
    ) as response:
        raw = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == coding
    plain = (
        gzip.decompress(raw)
        if coding == "gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    )
    assert len(json.loads(plain)["rows"]) == 10_000


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_compressed_body_is_read(http, pack):
    coding = "gzip" if pack is gzip.compress else "zstd"
    body = pack(json.dumps({"sql": "SELECT 1"}).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": coding}
    assert http.post("/v1/sql", content=body, headers=headers).json()["rows"] == [[1]]


def test_parameters_are_bound_by_position_and_by_name(http):
    assert run(http, "SELECT ? + 1, ?", [1, "x"]).json()["rows"] == [[2, "x"]]
    assert run(http, "SELECT $b, $a", {"a": 1, "b": None}).json()["rows"] == [[None, 1]]
    typed = {"type": "DATE", "value": "2020-01-31"}
    assert (
        run(http, "SELECT ? + INTERVAL 1 DAY", [typed])
        .json()["rows"][0][0]
        .startswith("2020-02-01")
    )


def test_an_arrow_body_is_the_relation_input(http, schema):
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    headers = {"Content-Type": ARROW}
    created = http.post(
        "/v1/sql",
        params={"sql": f"CREATE TABLE {schema}.t AS SELECT * FROM input"},
        content=arrow_bytes(table),
        headers=headers,
    )
    assert created.status_code == 200, created.text
    inserted = http.post(
        "/v1/sql",
        params={
            "sql": f"INSERT INTO {schema}.t SELECT * FROM input WHERE a > ?",
            "parameters": "[1]",
        },
        content=arrow_bytes(table),
        headers=headers,
    )
    assert inserted.json()["affected"] == 1
    assert run(http, f"SELECT count(*), count(b) FROM {schema}.t").json()["rows"] == [[3, 1]]


def test_a_session_keeps_a_transaction(http, schema):
    run(http, f"CREATE TABLE {schema}.t (a INTEGER)")
    session = http.post("/v1/sessions", json={"schema": schema}).json()["id"]
    inside = {"Lakehold-Session": session}

    def within(sql):
        response = http.post("/v1/sql", json={"sql": sql}, headers=inside)
        assert response.status_code == 200, response.text
        return response.json()

    within("BEGIN")
    within("INSERT INTO t VALUES (1)")
    assert within("SELECT count(*) FROM t")["rows"] == [[1]]
    assert http.get(f"/v1/sessions/{session}").json()["in_transaction"]
    assert run(http, f"SELECT count(*) FROM {schema}.t").json()["rows"] == [[0]]
    within("COMMIT")
    assert run(http, f"SELECT count(*) FROM {schema}.t").json()["rows"] == [[1]]
    assert http.delete(f"/v1/sessions/{session}").status_code == 204
    assert error_of(http.get(f"/v1/sessions/{session}"))["sqlstate"] == "08003"


# --- what is wrong with a request ------------------------------------------------------------


def test_wrong_sql_names_the_position(http):
    response = run(http, "SELECT 1 FRM x y")
    error = error_of(response)
    assert response.status_code == 400
    assert error["sqlstate"] == "42601"
    assert error["statement_id"] == response.headers["lakehold-statement-id"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b'{"sql": "SELECT 1"', 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"sql": 1}', 400),
        (b'{"sql": "SELECT 1", "nope": 1}', 400),
        (b'{"sql": "SELECT \xff"}', 400),
        (b'{"sql": "SELECT \\u0000 1"}', 400),
        (b'{"sql": "SELECT 1", "timeout_s": -1}', 400),
        (b'{"sql": "SELECT 1", "timeout_s": 1e99}', 400),
        (b'{"sql": "SELECT ?", "parameters": "x"}', 400),
        (b'{"sql": "SELECT ?", "parameters": [{"type": "DATE", "value": "x"}]}', 400),
        (b'{"sql": "SELECT ?", "parameters": []}', 400),
        (b'{"sql": "SELECT ?", "parameters": ["a\\u0000b"]}', 400),
        (b'{"sql": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    ],
)
def test_a_malformed_body_is_a_typed_error(http, body, status):
    response = http.post("/v1/sql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == status, response.text
    error_of(response)


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/v1/sql", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("/v1/sql", {"Accept": "text/html"}, 406, "not_acceptable"),
        ("/v1/sql", {"Content-Encoding": "br"}, 415, "unsupported_media_type"),
        ("/v1/sql", {"Content-Encoding": "gzip"}, 400, "invalid_request"),
        ("/v1/sql", {"Content-Encoding": "zstd"}, 400, "invalid_request"),
        ("/v1/sql", {"Lakehold-Session": "x"}, 400, "invalid_request"),
        ("/v1/sql", {"Lakehold-Session": str(uuid.uuid4())}, 404, "session_unknown"),
        ("/v1/sql", {"Lakehold-Statement-Id": "x"}, 400, "invalid_request"),
        ("/v1/sql?sql=SELECT", {}, 400, "invalid_request"),
        (
            "/v1/sql?sql=SELECT+1&sql=SELECT+2",
            {"Content-Type": ARROW},
            400,
            "invalid_request",
        ),
        ("/v1/sql?nope=1", {"Content-Type": ARROW}, 400, "invalid_request"),
        ("/v1/sql", {"Content-Type": ARROW}, 400, "invalid_request"),
        (
            "/v1/sql?sql=SELECT+*+FROM+input",
            {"Content-Type": ARROW},
            400,
            "invalid_request",
        ),
        ("/v1/nope", {}, 404, "undefined_object"),
    ],
)
def test_a_wrong_request_is_a_typed_error(http, path, headers, status, code):
    headers = {"Content-Type": "application/json", **headers}
    response = http.post(path, content=b'{"sql": "SELECT 1"}', headers=headers)
    assert response.status_code == status, response.text
    assert error_of(response)["code"] == code


def test_a_wrong_method_is_a_typed_error(http):
    response = http.get("/v1/sql")
    assert response.status_code == 405
    assert error_of(response)["code"] == "method_not_allowed"


def test_a_gigabyte_statement_is_refused_before_it_is_read(http):
    sent = 0

    def body():
        nonlocal sent
        for _ in range(1024):
            sent += 1
            yield b" " * 1024 * 1024

    headers = {"Content-Type": "application/json", "Content-Length": str(1024**3)}
    try:
        response = http.post("/v1/sql", content=body(), headers=headers)
        assert response.status_code == 413
        assert error_of(response)["code"] == "request_too_large"
    except httpx.WriteError:
        pass  # the connection was closed on us while we went on sending
    assert sent < 200


def test_a_gigabyte_in_chunks_is_refused_while_it_is_read(http):
    sent = 0

    def body():
        nonlocal sent
        for _ in range(1024):
            sent += 1
            yield b" " * 1024 * 1024

    try:
        response = http.post(
            "/v1/sql", content=body(), headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 413
    except httpx.WriteError:
        pass
    assert sent < 200


def test_a_bomb_is_refused_before_it_unfolds(http):
    bomb = gzip.compress(b" " * 200 * 1024 * 1024)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert http.post("/v1/sql", content=bomb, headers=headers).status_code == 413
    bomb = zstandard.compress(b" " * 200 * 1024 * 1024)
    headers["Content-Encoding"] = "zstd"
    assert http.post("/v1/sql", content=bomb, headers=headers).status_code == 413


# --- who is asking ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer nope", "Basic eDp5", "Bearer " + "x" * 9000]
)
def test_without_a_good_token_there_is_401_and_a_challenge(platform, header):
    headers = {"Authorization": header} if header else {}
    response = httpx.post(platform.url + "/v1/sql", json={"sql": "SELECT 1"}, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert error_of(response)["sqlstate"] == "28000"


def test_no_header_tells_versions_and_no_other_site_may_read(http):
    response = http.get("/health", headers={"Origin": "https://elsewhere.example"})
    assert response.headers["server"] == "lakehold"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in response.headers


# --- long and broken results ------------------------------------------------------------------

LONG = "SELECT a.range AS n, b.range AS m FROM range(1000000) a, range(1000000) b"


def test_a_client_that_vanishes_ends_its_statement(http, platform):
    with http.stream(
        "POST", "/v1/sql", json={"sql": LONG}, headers={"Accept": "text/csv"}
    ) as response:
        statement_id = response.headers["lakehold-statement-id"]
        next(response.iter_raw())
    eventually(lambda: not platform.gateway.statements_running.count)
    assert http.get(f"/v1/statements/{statement_id}").json()["state"] == "cancelled"


def test_a_client_that_vanishes_before_the_first_row_ends_its_statement(http, platform):
    sql = f"SELECT sum(n * m) FROM ({LONG})"
    with pytest.raises(httpx.ReadTimeout):
        http.post("/v1/sql", json={"sql": sql}, timeout=0.5)
    eventually(lambda: not platform.gateway.statements_running.count)


def test_a_statement_is_watched_and_cancelled_by_its_id(http):
    statement_id = str(uuid.uuid4())
    answers = []

    def long_one():
        answers.append(
            http.post(
                "/v1/sql",
                json={"sql": f"SELECT sum(n * m) FROM ({LONG})"},
                headers={"Lakehold-Statement-Id": statement_id},
            )
        )

    thread = threading.Thread(target=long_one)
    thread.start()
    eventually(lambda: http.get(f"/v1/statements/{statement_id}").status_code == 200)
    running = http.get("/v1/statements").json()["statements"]
    assert statement_id in [statement["id"] for statement in running]
    assert http.delete(f"/v1/statements/{statement_id}").status_code == 204
    thread.join(10)
    assert error_of(answers[0])["sqlstate"] == "57014"
    state = http.get(f"/v1/statements/{statement_id}").json()
    assert state["state"] == "cancelled"


def test_a_time_limit_ends_a_statement(http):
    response = run(http, f"SELECT sum(n * m) FROM ({LONG})", timeout_s=0.5)
    assert response.status_code == 408
    assert error_of(response)["code"] == "statement_timeout"


BREAKS = (
    "SELECT CASE WHEN range = 2900000 THEN CAST('x' || range AS INTEGER) ELSE range END AS n "
    "FROM range(3000000)"
)


def test_json_that_breaks_off_says_why(http):
    response = run(http, BREAKS)
    body = response.json()
    if response.status_code == 200:
        assert body["rows"]
    assert body["error"]["sqlstate"].startswith("22")


def test_arrow_that_breaks_off_is_cut_and_the_statement_says_why(http):
    statement_id = str(uuid.uuid4())
    headers = {"Accept": ARROW, "Lakehold-Statement-Id": statement_id}
    try:
        response = http.post("/v1/sql", json={"sql": BREAKS}, headers=headers)
        assert response.status_code == 400
    except httpx.RemoteProtocolError:
        pass
    state = http.get(f"/v1/statements/{statement_id}").json()
    assert state["state"] == "failed"
    assert state["error"]["sqlstate"].startswith("22")


def test_statements_of_others_are_not_known(platform, http, analyst_token):
    answered = run(http, "SELECT 1")
    statement_id = answered.headers["lakehold-statement-id"]
    other = {"Authorization": f"Bearer {analyst_token}"}
    response = httpx.get(f"{platform.url}/v1/statements/{statement_id}", headers=other)
    assert response.status_code == 404
    session = http.post("/v1/sessions", json={}).json()["id"]
    response = httpx.delete(f"{platform.url}/v1/sessions/{session}", headers=other)
    assert response.status_code == 404


def test_nothing_is_left_of_staged_bodies(platform, http):
    headers = {"Content-Type": ARROW}
    http.post("/v1/sql?sql=SELECT+*+FROM+input", content=b"nope", headers=headers)
    http.post("/v1/sql?sql=SELEC", content=arrow_bytes(pa.table({"a": [1]})), headers=headers)
    eventually(lambda: platform.parts.staging.used_bytes == 0)


def test_bytes_and_numbers_survive_json(http):
    sql = "SELECT 'NaN'::DOUBLE, 9223372036854775807, 170141183460469231731687303715884105727::HUGEINT, '\\xFF'::BLOB"
    assert run(http, sql).json()["rows"] == [["NaN", 2**63 - 1, str(2**127 - 1), "/w=="]]
    assert msgspec.json.decode(run(http, "SELECT [1, NULL], {'a': 1}").content)["rows"] == [
        [[1, None], {"a": 1}]
    ]
