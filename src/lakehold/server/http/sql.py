"""``POST /v1/sql``: one statement in, its result out, in the form the client asks for."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import msgspec
import pyarrow as pa
from anyio.to_thread import run_sync
from litestar import Request, Response, Router, post

from lakehold.errors import InvalidRequest, LakeholdError
from lakehold.identity import Principal, Session
from lakehold.ingest import ArrowInput, StagedFile, StagingArea
from lakehold.server.authentication import client_of
from lakehold.server.http.body import (
    LOAD_BYTES_MAX,
    media_type,
    pieces,
    query_parameters,
    read_json,
)
from lakehold.server.http.encoding import ARROW, CSV, JSON, NDJSON
from lakehold.server.http.negotiation import accepts_encoding, negotiate
from lakehold.server.http.parameters import read_parameters
from lakehold.server.http.sessions import session_of
from lakehold.server.http.statements import parse_id
from lakehold.server.http.streaming import StatementCall, StatementRunner

if TYPE_CHECKING:
    from lakehold.query import Gateway

RESULT_FORMS = (JSON, ARROW, NDJSON, CSV)
STATEMENT_HEADER = "lakehold-statement-id"
TIMEOUT_MAX_S = 7 * 24 * 3600.0
_QUERY = frozenset({"sql", "parameters", "timeout_s", "schema"})


class SqlRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement to run.

    Attributes:
        sql: exactly one statement, in DuckDB's dialect.
        parameters: values for ``?`` or ``$1`` (a list) or ``$name`` (an object). What JSON has
            no form for is ``{"type": "DATE", "value": "2026-01-31"}``.
        timeout_s: seconds that the statement may take.
        schema: the schema of names without one; not together with a session.
    """

    sql: str
    parameters: list[Any] | dict[str, Any] | None = None
    timeout_s: float | None = None
    schema: str | None = None


@dataclass(frozen=True, slots=True)
class SqlParts:
    """What the endpoints of statements and files work with.

    Attributes:
        loads: threads that read files.
    """

    gateway: Gateway
    runner: StatementRunner
    staging: StagingArea
    loads: Executor


def sql_routes(parts: SqlParts) -> Router:
    """``/v1/sql``."""

    @post("/", status_code=200, summary="Run one SQL statement")
    async def run_sql(request: Request[Principal, Any, Any]) -> Response[Any]:
        media = negotiate(request.headers.get("accept", ""), RESULT_FORMS)
        statement_id = _statement_id(request)
        staged: StagedFile | None = None
        if media_type(request) == ARROW:
            asked = _from_query(request)
            check_statement(asked)
            staged = await stage_body(request, parts.staging)
        else:
            if request.query_params:
                query_parameters(request, frozenset())
            asked = await read_json(request, SqlRequest)
            check_statement(asked)
        return await respond(parts, request, asked, statement_id, media, staged)

    return Router("/sql", route_handlers=[run_sql])


async def respond(
    parts: SqlParts,
    request: Request[Principal, Any, Any],
    asked: SqlRequest,
    statement_id: UUID,
    media: str,
    staged: StagedFile | None,
) -> Response[Any]:
    """Run a statement in the request's session, or in one for this statement alone."""
    try:
        parameters = read_parameters(asked.parameters)
    except BaseException:
        if staged is not None:
            staged.delete()
        raise

    def execute() -> Any:
        arrow = ArrowInput(staged) if staged is not None else None
        relations: Mapping[str, pa.RecordBatchReader] = {"input": arrow.reader} if arrow else {}
        try:
            return parts.gateway.execute(
                find_session(parts.gateway, request, asked.schema),
                asked.sql,
                parameters,
                relations=relations,
                timeout_s=asked.timeout_s,
                statement_id=statement_id,
            )
        except LakeholdError as error:
            if arrow is not None and arrow.failure is not None:
                raise arrow.failure from error
            raise

    def release() -> None:
        if staged is not None:
            staged.delete()

    coding = None
    if media != ARROW:
        coding = accepts_encoding(request.headers.get("accept-encoding", ""), ("zstd", "gzip"))
    call = StatementCall(request.user, statement_id, execute, release, media, coding)
    return await parts.runner.respond(request, call)


def find_session(
    gateway: Gateway, request: Request[Principal, Any, Any], schema: str | None
) -> Session:
    """The session that the request names, or one for this statement alone. May block."""
    session_id = session_of(request)
    if session_id is None:
        return gateway.open_session(request.user, client_of(request), schema=schema)
    if schema is not None:
        raise InvalidRequest(
            "a request in a session cannot name a schema", hint="Use the statement USE."
        )
    return gateway.find_session(request.user, session_id)


async def stage_body(request: Request[Any, Any, Any], staging: StagingArea) -> StagedFile:
    """Write the body to a staged file; nothing is left behind if that fails."""
    staged = await run_sync(staging.create)
    try:
        async for piece in pieces(request, LOAD_BYTES_MAX):
            await run_sync(staged.write, piece)
        await run_sync(staged.finish)
    except BaseException:
        staged.delete()
        raise
    return staged


def check_statement(asked: SqlRequest) -> None:
    """Refuse what cannot be a statement before anything is spent on it.

    Raises:
        InvalidRequest: it holds a NUL, or its time limit is no time.
    """
    if "\0" in asked.sql:
        raise InvalidRequest("a statement cannot hold a NUL character")
    if asked.timeout_s is not None and not 0 < asked.timeout_s <= TIMEOUT_MAX_S:
        raise InvalidRequest(f"timeout_s must be above 0 and at most {TIMEOUT_MAX_S:.0f}")


def _from_query(request: Request[Any, Any, Any]) -> SqlRequest:
    found = query_parameters(request, _QUERY)
    if "sql" not in found:
        raise InvalidRequest(
            "the statement is missing",
            hint=f"With a body of {ARROW}, give it in the query string: ?sql=INSERT INTO …",
        )
    try:
        parameters = msgspec.json.decode(found["parameters"]) if "parameters" in found else None
        timeout_s = float(found["timeout_s"]) if "timeout_s" in found else None
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidRequest(f"parameters must be JSON and timeout_s a number: {error}") from error
    if not isinstance(parameters, list | dict | None):
        raise InvalidRequest("parameters must be a JSON list or object")
    return SqlRequest(found["sql"], parameters, timeout_s, found.get("schema"))


def _statement_id(request: Request[Any, Any, Any]) -> UUID:
    text = request.headers.get(STATEMENT_HEADER, "")
    return parse_id(text, "statement id") if text else uuid4()
