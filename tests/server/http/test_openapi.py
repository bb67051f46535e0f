"""The OpenAPI document is true."""

from __future__ import annotations

import re
from typing import Any

import pytest


def validate(
    value: Any, schema: dict[str, Any], document: dict[str, Any], where: str = "$"
) -> None:
    """As much of JSON Schema 2020-12 as the document uses; fails on what it does not know."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        return validate(value, document["components"]["schemas"][name], document, where)
    unknown = schema.keys() - {
        *(
            "type",
            "properties",
            "required",
            "items",
            "anyOf",
            "title",
            "description",
            "default",
        ),
        *("additionalProperties", "enum", "format"),
    }
    assert not unknown, f"{where}: the test does not know {unknown}"
    if "anyOf" in schema:
        failures = []
        for option in schema["anyOf"]:
            try:
                return validate(value, option, document, where)
            except AssertionError as failure:
                failures.append(str(failure))
        raise AssertionError(f"{where}: none fits: {failures}")
    if "enum" in schema:
        assert value in schema["enum"], where
    kinds = {
        "object": dict, "array": list, "string": str, "integer": int, "number": int | float,
        "boolean": bool, "null": type(None),
    }  # fmt: skip
    if "type" in schema:
        assert isinstance(value, kinds[schema["type"]]), (
            f"{where}: {value!r} is no {schema['type']}"
        )
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", ())) <= value.keys(), where
        assert value.keys() <= schema["properties"].keys(), f"{where}: {value.keys()}"
        for name, item in value.items():
            validate(item, schema["properties"][name], document, f"{where}.{name}")
    elif isinstance(value, dict) and isinstance(schema.get("additionalProperties"), dict):
        for name, item in value.items():
            validate(item, schema["additionalProperties"], document, f"{where}.{name}")
    if isinstance(value, list) and "items" in schema:
        for item in value:
            validate(item, schema["items"], document, f"{where}[]")
    return None


@pytest.fixture
def document(http):
    response = http.get("/openapi.json", headers={"Authorization": ""})
    assert response.status_code == 200
    return response.json()


def test_every_reference_is_defined(document):
    text = str(document)
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names <= document["components"]["schemas"].keys()
    assert document["openapi"].startswith("3.1")


def test_operations_are_named_once(document):
    names = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(names) == len(set(names))
    assert all(op["summary"] for path in document["paths"].values() for op in path.values())


def answers(http, schema):
    """One real answer of every operation: (method, path, response)."""

    def call(method, path, url=None, **options):
        return method, path, http.request(method, url or path, **options)

    yield call("GET", "/health")
    yield call("GET", "/ready")
    yield call("GET", "/openapi.json")
    yield call("POST", "/v1/sql", json={"sql": "SELECT 1 AS a, NULL AS b, [1] AS c"})
    yield call("POST", "/v1/sql", json={"sql": "SELEC"})
    session = call("POST", "/v1/sessions", json={"schema": schema})
    yield session
    session_id = session[2].json()["id"]
    yield call("GET", "/v1/sessions/{session_id}", f"/v1/sessions/{session_id}")
    yield call("DELETE", "/v1/sessions/{session_id}", f"/v1/sessions/{session_id}")
    yield call("GET", "/v1/statements")
    ran = http.post("/v1/sql", json={"sql": "SELECT CAST('x' AS INTEGER)"})
    statement_id = ran.headers["lakehold-statement-id"]
    yield call("GET", "/v1/statements/{statement_id}", f"/v1/statements/{statement_id}")
    yield call("DELETE", "/v1/statements/{statement_id}", f"/v1/statements/{statement_id}")
    yield call("GET", "/v1/whoami")
    yield call("POST", "/v1/login", json={"secret": "wrong", "name": "x"})
    made = call("POST", "/v1/tokens", json={"name": "temporary", "expires_in_s": 60})
    yield made
    listed = call("GET", "/v1/tokens")
    yield listed
    token_id = next(t["id"] for t in listed[2].json()["tokens"] if t["name"] == "temporary")
    yield call("DELETE", "/v1/tokens/{token_id}", f"/v1/tokens/{token_id}")
    yield call("GET", "/v1/audit/verify")
    file = b"a,b\n1,x\nq,y\n"
    yield call("POST", "/v1/load/preview", "/v1/load/preview?format=csv", content=file)
    query = f"?format=csv&mode=create&table={schema}.loaded&columns=a INTEGER, b VARCHAR"
    yield call("POST", "/v1/load", "/v1/load" + query, content=file)


def test_every_operation_answers_as_documented(http, schema, document):
    seen = set()
    for method, path, response in answers(http, schema):
        seen.add((method.lower(), path))
        operation = document["paths"][path][method.lower()]
        documented = operation["responses"].get(str(response.status_code))
        if documented is None:
            assert response.status_code >= 400, f"{method} {path}: {response.status_code}"
            documented = operation["responses"]["default"]
        if "content" not in documented:
            assert response.content == b"" or path == "/openapi.json"
            continue
        media = response.headers["content-type"].partition(";")[0]
        validate(
            response.json(),
            documented["content"][media]["schema"],
            document,
            f"{method} {path}",
        )
    documented_all = {(m, path) for path, item in document["paths"].items() for m in item}
    assert documented_all == seen
