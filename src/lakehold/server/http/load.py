"""``/v1/load``: a file in, its rows in a table, and what did not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, cast, get_args
from uuid import UUID, uuid4

import msgspec
from anyio.to_thread import run_sync
from litestar import Request, Router, post

from lakehold.errors import InvalidRequest, LakeholdError, StatementCancelled
from lakehold.identity import Principal, Session
from lakehold.ingest import (
    FORMATS,
    Compression,
    FileColumn,
    LoadMode,
    LoadOptions,
    LoadSummary,
    Reject,
    StagedFile,
    load,
    parse_columns,
    preview,
)
from lakehold.server.http.body import query_parameters
from lakehold.server.http.encoding import ColumnDescription
from lakehold.server.http.sql import (
    STATEMENT_HEADER,
    SqlParts,
    find_session,
    stage_body,
)
from lakehold.server.http.statements import parse_id
from lakehold.server.http.streaming import disconnected
from lakehold.values import json_values

_QUERY = frozenset(
    {
        "table",
        "format",
        "mode",
        "compression",
        "columns",
        "delimiter",
        "header",
        "strict",
    }
)


class RejectedRow(msgspec.Struct, frozen=True):
    """A row that did not fit: its line in the file, the column, why, and its text."""

    line: int
    column: str | None
    reason: str
    text: str


class LoadAnswer(msgspec.Struct, frozen=True):
    """What became of a file; ``rejects`` lists the first of the rejected rows."""

    statement_id: str
    table: str
    rows: int
    rejected: int
    rejects: list[RejectedRow]
    columns: list[ColumnDescription]


class PreviewAnswer(msgspec.Struct, frozen=True):
    """What a file seems to hold: its columns and first rows."""

    columns: list[ColumnDescription]
    rows: list[list[Any]]
    rejects: list[RejectedRow]


def load_routes(parts: SqlParts) -> Router:
    """``/v1/load`` and ``/v1/load/preview``."""

    async def in_worker(work: Any, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(parts.loads, work, *arguments)

    @post("/", status_code=200, summary="Load a file into a table")
    async def load_file(request: Request[Principal, Any, Any]) -> LoadAnswer:
        options = _options(request)
        if options.table is None:
            raise InvalidRequest("the query parameter 'table' is missing")
        text = request.headers.get(STATEMENT_HEADER, "")
        statement_id = parse_id(text, "statement id") if text else uuid4()
        session = await run_sync(find_session, parts.gateway, request, None)
        staged = await stage_body(request, parts.staging)
        loading = asyncio.ensure_future(
            in_worker(_load, parts.gateway, session, staged, options, statement_id)
        )
        gone = asyncio.create_task(disconnected(request.receive))
        await asyncio.wait({loading, gone}, return_when=asyncio.FIRST_COMPLETED)
        while not loading.done():
            await run_sync(_cancel, parts.gateway, request.user, statement_id)
            await asyncio.wait({loading}, timeout=0.5)
        gone.cancel()
        summary: LoadSummary = loading.result()
        return _answer(summary)

    @post("/preview", status_code=200, summary="Infer the columns of a file")
    async def preview_file(request: Request[Principal, Any, Any]) -> PreviewAnswer:
        options = _options(request)
        staged = await stage_body(request, parts.staging)
        answer: PreviewAnswer = await in_worker(_preview, staged, options)
        return answer

    return Router("/load", route_handlers=[load_file, preview_file])


def _load(
    gateway: Any,
    session: Session,
    staged: StagedFile,
    options: LoadOptions,
    statement_id: UUID,
) -> LoadSummary:
    def execute(sql: str, relations: Mapping[str, Any]) -> Any:
        return gateway.execute(session, sql, relations=relations, statement_id=statement_id)

    def describe(table: str) -> Sequence[FileColumn]:
        result = gateway.execute(session, f"DESCRIBE {table}")
        rows = [row for batch in result.batches() for row in batch.to_pylist()]
        return [FileColumn(row["column_name"], row["column_type"]) for row in rows]

    try:
        return load(staged, options, execute, describe)
    finally:
        staged.delete()


def _preview(staged: StagedFile, options: LoadOptions) -> PreviewAnswer:
    try:
        found = preview(staged, options)
    finally:
        staged.delete()
    types = [column.type for column in found.columns]
    table = found.rows.combine_chunks()
    columns = [
        json_values(column.combine_chunks(), sql_type)
        for column, sql_type in zip(table.columns, types, strict=True)
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    return PreviewAnswer(_columns(found.columns), rows, _rejected(found.rejects))


def _cancel(gateway: Any, principal: Principal, statement_id: UUID) -> None:
    with suppress(LakeholdError, StatementCancelled):
        gateway.cancel(principal, statement_id)


def _options(request: Request[Any, Any, Any]) -> LoadOptions:
    found = query_parameters(request, _QUERY)
    mode = found.get("mode", "append")
    if mode not in get_args(LoadMode):
        raise InvalidRequest(f"mode is one of {', '.join(get_args(LoadMode))}")
    compression = found.get("compression", "none")
    if compression not in {"none", "gzip", "zstd"}:
        raise InvalidRequest("compression is one of none, gzip, zstd")
    if found.get("format") not in FORMATS:
        raise InvalidRequest("format is one of " + ", ".join(FORMATS))
    delimiter = found.get("delimiter")
    if delimiter is not None and not (
        len(delimiter) == 1 and delimiter.isprintable() or delimiter == "\t"
    ):
        raise InvalidRequest("delimiter is one character")
    return LoadOptions(
        format=found["format"],
        table=found.get("table"),
        mode=cast(LoadMode, mode),
        compression=cast(Compression, compression),
        columns=parse_columns(found["columns"]) if found.get("columns") else None,
        delimiter=delimiter,
        header=_flag(found, "header"),
        strict=_flag(found, "strict") or False,
    )


def _flag(found: Mapping[str, str], name: str) -> bool | None:
    if name not in found:
        return None
    if found[name] not in {"true", "false"}:
        raise InvalidRequest(f"{name} is true or false")
    return found[name] == "true"


def _answer(summary: LoadSummary) -> LoadAnswer:
    return LoadAnswer(
        statement_id=str(summary.statement_id),
        table=summary.table,
        rows=summary.rows,
        rejected=summary.rejected,
        rejects=_rejected(summary.rejects),
        columns=_columns(summary.columns),
    )


def _rejected(rejects: Sequence[Reject]) -> list[RejectedRow]:
    return [RejectedRow(r.line, r.column, r.reason, r.text) for r in rejects]


def _columns(columns: Sequence[FileColumn]) -> list[ColumnDescription]:
    return [ColumnDescription(column.name, column.type) for column in columns]
