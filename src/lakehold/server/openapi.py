"""The OpenAPI 3.1 document of the HTTP API, made from the routes that are really there.

What a route answers is its handler's return type; what it reads is written below, because
bodies are read by hand, within limits. A test compares both with what is sent and accepted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from lakehold.ingest import FORMATS
from lakehold.server.errors import ErrorBody, ErrorDetail
from lakehold.server.http.encoding import ARROW, CSV, JSON, NDJSON, ColumnDescription
from lakehold.server.http.health import Readiness
from lakehold.server.http.sessions import SessionRequest
from lakehold.server.http.sql import SqlRequest
from lakehold.server.http.tokens import LoginRequest, TokenRequest

_REF = "#/components/schemas/{name}"
_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_TEXT: dict[str, Any] = {"type": "string"}
_OPEN_PATHS = frozenset({"/health", "/ready", "/openapi.json", "/v1/login"})
"""Paths that need no token."""


class SqlAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A result as JSON.

    Attributes:
        kind: ``SELECT``, ``INSERT`` …
        rows: a list for each row. Dates, times and moments are ISO 8601, intervals ISO 8601
            durations, decimals and 128-bit integers strings, bytes base64, NaN and infinities
            the strings ``NaN``, ``Infinity`` and ``-Infinity``; JSON is embedded as text.
        affected: rows changed, of a statement that changes rows.
        error: why the result broke off after its first rows; absent where it is whole.
    """

    statement_id: str
    kind: str
    columns: list[ColumnDescription]
    rows: list[list[Any]]
    affected: int | None
    duration_ms: float
    error: ErrorDetail | msgspec.UnsetType | None = msgspec.UNSET


def _parameter(
    place: str, name: str, description: str, schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "in": place,
        "name": name,
        "required": place == "path",
        "description": description,
        "schema": schema or _TEXT,
    }


_SESSION = _parameter(
    "header",
    "Lakehold-Session",
    "A session to run in.",
    {"type": "string", "format": "uuid"},
)
_STATEMENT = _parameter(
    "header",
    "Lakehold-Statement-Id",
    "An id of the client's choice, by which the statement can be watched and cancelled.",
    {"type": "string", "format": "uuid"},
)
_FILE_PARAMETERS = [
    _parameter("query", "format", "How the file is written.", {"enum": list(FORMATS)}),
    _parameter("query", "compression", "Of the file.", {"enum": ["none", "gzip", "zstd"]}),
    _parameter("query", "columns", "Names and types: 'id BIGINT, name VARCHAR'."),
    _parameter("query", "delimiter", "Of CSV."),
    _parameter("query", "header", "Whether CSV begins with names.", {"type": "boolean"}),
    _parameter(
        "query",
        "strict",
        "Refuse a file with rows that do not fit.",
        {"type": "boolean"},
    ),
]
_FILE_BODY = {
    "required": True,
    "content": {"application/octet-stream": {"schema": _BINARY}},
}


def _json_body(kind: type[Any]) -> dict[str, Any]:
    schema = {"$ref": _REF.format(name=kind.__name__)}
    return {"required": True, "content": {JSON: {"schema": schema}}}


def _details(
    bodies: dict[tuple[str, str], type[Any]],
) -> dict[tuple[str, str], dict[str, Any]]:
    """What the handlers' signatures do not tell, by method and path."""
    sql_body = _json_body(SqlRequest)
    sql_body["content"][ARROW] = {"schema": _BINARY}
    in_query = "With an Arrow body, which becomes the relation 'input': "
    details: dict[tuple[str, str], dict[str, Any]] = {
        ("POST", "/v1/sql"): {
            "requestBody": sql_body,
            "parameters": [
                _SESSION,
                _STATEMENT,
                _parameter("query", "sql", in_query + "the statement."),
                _parameter("query", "parameters", in_query + "its parameters as JSON."),
                _parameter("query", "timeout_s", in_query + "its limit.", {"type": "number"}),
                _parameter("query", "schema", in_query + "the schema of names without one."),
            ],
            "responses": {"200": _sql_response()},
        },
        ("POST", "/v1/load"): {
            "requestBody": _FILE_BODY,
            "parameters": [
                _SESSION,
                _STATEMENT,
                _parameter("query", "table", "Where the rows go, as schema.table."),
                _parameter("query", "mode", "", {"enum": ["append", "create", "replace"]}),
                *_FILE_PARAMETERS,
            ],
        },
        ("POST", "/v1/load/preview"): {
            "requestBody": _FILE_BODY,
            "parameters": _FILE_PARAMETERS,
        },
        ("GET", "/ready"): {
            "responses": {
                status: {
                    "description": text,
                    "content": {JSON: {"schema": {"$ref": _REF.format(name="Readiness")}}},
                }
                for status, text in (
                    ("200", "Every part is well"),
                    ("503", "A part is failing"),
                )
            }
        },
    }
    for key, kind in bodies.items():
        details.setdefault(key, {})["requestBody"] = _json_body(kind)
    return details


def _sql_response() -> dict[str, Any]:
    return {
        "description": "The result. One that breaks off lacks the end that its format has; "
        "GET /v1/statements/{statement_id} tells why.",
        "headers": {
            "Lakehold-Statement-Id": {"schema": {"type": "string", "format": "uuid"}},
            "Lakehold-Kind": {"schema": _TEXT},
            "Lakehold-Affected": {"schema": {"type": "integer"}},
        },
        "content": {
            JSON: {"schema": {"$ref": _REF.format(name="SqlAnswer")}},
            ARROW: {"schema": _BINARY},
            NDJSON: {"schema": _TEXT},
            CSV: {"schema": _TEXT},
        },
    }


_ANSWERS: tuple[type[Any], ...] = (ErrorBody, SqlAnswer, SqlRequest, Readiness)


def openapi_document(routes: Iterable[Any], version: str) -> dict[str, Any]:
    """The document for all ``routes`` under ``/v1``, and the open ones."""
    bodies: dict[tuple[str, str], type[Any]] = {
        ("POST", "/v1/login"): LoginRequest,
        ("POST", "/v1/sessions"): SessionRequest,
        ("POST", "/v1/tokens"): TokenRequest,
    }
    details = _details(bodies)
    kinds: dict[str, type[Any]] = {kind.__name__: kind for kind in (*_ANSWERS, *bodies.values())}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = route.path_format
        if not isinstance(route, HTTPRoute) or not (path.startswith("/v1/") or path in _OPEN_PATHS):
            continue
        for handler in route.route_handlers:
            for method in sorted(str(name) for name in handler.http_methods):
                if method in {"OPTIONS", "HEAD"}:
                    continue
                operation = _operation(path, handler, kinds)
                _add(operation, details.get((method, path), {}))
                paths.setdefault(path, {})[method.lower()] = operation
    _, components = msgspec.json.schema_components(kinds.values(), ref_template=_REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Lakehold",
            "version": version,
            "license": {"name": "Apache-2.0"},
        },
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(path: str, handler: HTTPRouteHandler, kinds: dict[str, type[Any]]) -> dict[str, Any]:
    answer = handler.parsed_fn_signature.return_type.annotation
    response: dict[str, Any] = {"description": "Done"}
    if isinstance(answer, type) and issubclass(answer, msgspec.Struct):
        kinds[answer.__name__] = answer
        schema = {"$ref": _REF.format(name=answer.__name__)}
        response = {"description": "The answer", "content": {JSON: {"schema": schema}}}
    failure = {"$ref": _REF.format(name="ErrorBody")}
    operation: dict[str, Any] = {
        "operationId": handler.handler_name,
        "summary": handler.summary or "",
        "parameters": [
            _parameter("path", part[1:-1], "") for part in path.split("/") if part.startswith("{")
        ],
        "responses": {
            str(handler.status_code): response,
            "default": {
                "description": "An error",
                "content": {JSON: {"schema": failure}},
            },
        },
    }
    if path in _OPEN_PATHS:
        operation["security"] = []
    return operation


def _add(operation: dict[str, Any], details: dict[str, Any]) -> None:
    operation["parameters"] += details.get("parameters", [])
    operation["responses"].update(details.get("responses", {}))
    if "requestBody" in details:
        operation["requestBody"] = details["requestBody"]
