"""The loopback endpoint through which the embedded engine commits what it wrote.

DuckDB writes Iceberg tables through a REST catalog. This one is for our own engine alone: it
listens on the loopback interface, knows the writer slots by their tokens, and shows a slot
nothing but the tables that the gateway has bound it to, straight from the statement's lake
transaction. Tables go by their id: ``tables."<uuid>"``; so names never travel.

It decides nothing and records nothing: the gateway has authorized the statement, and the
statement's ledger record stands for what it commits.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
import threading
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import msgspec
import structlog
import uvicorn

from lakehold.errors import (
    CommitConflict,
    InternalError,
    InvalidRequest,
    LakeholdError,
    NotAuthenticated,
    PermissionDenied,
    StateUnavailable,
    UndefinedTable,
)

NAMESPACE = "tables"
"""The one namespace of the port; the engine's name for a table is ``tables."<its id>"``."""

FILE_SIZE_PROPERTY = "write.target-file-size-bytes"
FILE_SIZE_BYTES = str(512 * 1024 * 1024)
"""The size of data files, unless the table says another (Iceberg's own default)."""

ROW_GROUP_PROPERTY = "write.parquet.row-group-size-bytes"

BODY_BYTES_MAX = 64 * 1024 * 1024
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0

DATA_UPDATES = frozenset({"add-snapshot", "set-snapshot-ref"})
"""The updates of a commit of data; the engine may make no other."""

_log = structlog.get_logger("lakehold.engine_port")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Json: TypeAlias = dict[str, Any]

_CONFIG = _encode(
    {
        "defaults": {},
        "overrides": {},
        "endpoints": [
            "GET /v1/{prefix}/namespaces",
            "GET /v1/{prefix}/namespaces/{namespace}",
            "HEAD /v1/{prefix}/namespaces/{namespace}",
            "GET /v1/{prefix}/namespaces/{namespace}/tables",
            "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
            "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
            "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
            "POST /v1/{prefix}/transactions/commit",
        ],
    }
)
_NAMESPACES = _encode({"namespaces": [[NAMESPACE]]})
_NAMESPACE = _encode({"namespace": [NAMESPACE], "properties": {}})


class Writing(Protocol):
    """What the port needs of a lake transaction."""

    def load(self, table: UUID) -> tuple[Json, str]:
        """The metadata of a table as the transaction sees it, and where it stands."""
        ...

    def update_table(
        self, table_id: UUID, requirements: list[Json], updates: list[Json]
    ) -> tuple[Json, str]:
        """Apply an Iceberg commit within the transaction."""
        ...


class Bound(Protocol):
    """What a slot may do now."""

    @property
    def transaction(self) -> Writing: ...

    @property
    def allowed(self) -> frozenset[UUID]: ...


class Bindings(Protocol):
    """Finds what a slot's token is bound to."""

    def get(self, token: str) -> Bound | None: ...


class EnginePort:
    """Serves the writer slots of the embedded engine.

    Args:
        bindings: slot token → lake transaction and the tables it may write.
        tokens: the tokens of all slots; no other caller gets an answer.
        threads: calls that are served at the same time; at least one for each slot.
    """

    def __init__(self, bindings: Bindings, tokens: Collection[str], *, threads: int = 16) -> None:
        self._bindings = bindings
        self._tokens = tuple(token.encode() for token in tokens)
        self._errors: dict[str, LakeholdError] = {}
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="engine-port")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            lifespan="off",
            proxy_headers=False,
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            timeout_keep_alive=3600,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def endpoint(self) -> str:
        """The URL to attach to: ``http://127.0.0.1:<port>``."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def start(self) -> None:
        """Listen; returns when calls are answered.

        Raises:
            StateUnavailable: if it does not come up in time.
        """
        self._thread = threading.Thread(
            target=lambda: self._server.run(sockets=[self._socket]),
            name="engine-port",
            daemon=True,
        )
        self._thread.start()
        waiting = threading.Event()
        for _ in range(int(START_TIMEOUT_S * 200)):
            if self._server.started:
                return
            waiting.wait(0.005)
        raise StateUnavailable("the engine's endpoint did not start")

    def stop(self) -> None:
        """Stop listening; calls that run are answered first."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(STOP_TIMEOUT_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._socket.close()

    def take_error(self, token: str) -> LakeholdError | None:
        """The last refusal that a slot was given since this was last asked.

        The engine tells of a refused call in words of its own; this is what really happened.
        """
        return self._errors.pop(token, None)

    async def _serve(self, scope: Mapping[str, Any], receive: Any, send: Any) -> None:
        """The ASGI application."""
        assert scope["type"] == "http"
        token = ""
        try:
            token = self._token(scope)
            body = await _body(receive) if scope["method"] == "POST" else b""
            status, answer = await self._answer(scope["method"], scope["path"], token, body)
        except LakeholdError as error:
            status, answer = self._refusal(token, error)
        except Exception:
            _log.exception("engine_port_failed", path=scope["path"])
            status, answer = self._refusal(token, InternalError("the catalog failed"))
        if scope["method"] == "HEAD":
            answer = b""
        headers = [(b"content-length", b"%d" % len(answer))]
        if answer:
            headers.append((b"content-type", b"application/json"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _token(self, scope: Mapping[str, Any]) -> str:
        """The caller's token, which is a slot's, compared in constant time."""
        given = b""
        for name, value in scope["headers"]:
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                given = bytes(value[7:])
        known = False
        for token in self._tokens:
            known |= hmac.compare_digest(token, given)
        if not known:
            raise NotAuthenticated("not a writer slot of this platform")
        return given.decode("ascii")

    async def _answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, bytes]:
        parts = path.strip("/").split("/")
        if parts[0] != "v1":
            raise UndefinedTable("unknown path")
        match method, parts[1:]:
            case "GET", ["config"]:
                return 200, _CONFIG
            case "GET", ["namespaces"]:
                return 200, _NAMESPACES
            case "GET" | "HEAD", ["namespaces", namespace] if namespace == NAMESPACE:
                return 200, _NAMESPACE
            case "GET", ["namespaces", namespace, "tables"] if namespace == NAMESPACE:
                return 200, _encode({"identifiers": []})
            case "GET" | "HEAD" | "POST", ["namespaces", namespace, "tables", table] if (
                namespace == NAMESPACE
            ):
                bound = self._bound(token)
                table_id = _allowed(bound, table)
                if method == "POST":
                    return await self._run(_commit, bound.transaction, table_id, _object(body))
                return await self._run(_load, bound.transaction, table_id)
            case "POST", ["transactions", "commit"]:
                bound = self._bound(token)
                return await self._run(_commit_all, bound, _object(body))
        raise UndefinedTable("the engine's endpoint has no such path")

    def _refusal(self, token: str, error: LakeholdError) -> tuple[int, bytes]:
        if token:
            self._errors[token] = error
        return error.http_status, _error(error)

    def _bound(self, token: str) -> Bound:
        bound = self._bindings.get(token)
        if bound is None:
            raise PermissionDenied("no statement is writing from this slot")
        return bound

    async def _run(self, call: Any, *arguments: Any) -> tuple[int, bytes]:
        """Run a blocking call in a thread: it may read PostgreSQL and write files."""
        answer: tuple[int, bytes] = await asyncio.get_running_loop().run_in_executor(
            self._pool, call, *arguments
        )
        return answer


async def _body(receive: Any) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the body ended early")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > BODY_BYTES_MAX:
            raise InvalidRequest("the commit is too large")
        chunks.append(chunk)
        if not message.get("more_body"):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _object(body: bytes) -> Json:
    try:
        return _decode(body)
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not a JSON object: {error}") from None


def _allowed(bound: Bound, table: str) -> UUID:
    """The id that ``table`` spells, if the slot may write it; else it is not there."""
    try:
        table_id = UUID(table)
    except ValueError:
        raise UndefinedTable("no such table") from None
    if table_id not in bound.allowed:
        raise UndefinedTable("no such table")
    return table_id


def _load(transaction: Writing, table_id: UUID) -> tuple[int, bytes]:
    metadata, location = transaction.load(table_id)
    return 200, _encode(
        {"metadata-location": location, "metadata": for_writing(metadata), "config": {}}
    )


def _commit(transaction: Writing, table_id: UUID, request: Json) -> tuple[int, bytes]:
    updates = request.get("updates") or []
    for update in updates:
        if update.get("action") not in DATA_UPDATES:
            raise PermissionDenied("the engine commits data only")
    metadata, location = transaction.update_table(
        table_id, request.get("requirements") or [], updates
    )
    return 200, _encode({"metadata-location": location, "metadata": for_writing(metadata)})


def _commit_all(bound: Bound, request: Json) -> tuple[int, bytes]:
    changes = request.get("table-changes")
    if not isinstance(changes, list) or not changes:
        raise InvalidRequest("table-changes must be a list of commits")
    tables = [
        _allowed(bound, str((change.get("identifier") or {}).get("name"))) for change in changes
    ]
    for table_id, change in zip(tables, changes, strict=True):
        _commit(bound.transaction, table_id, change)
    return 204, b""


def for_writing(metadata: Json) -> Json:
    """Metadata without the history that a writer does not need.

    Only snapshots that a branch or tag points at remain, as with ``snapshots=refs`` in the
    REST specification; so a commit does not become slower as history grows. Nor does it need
    the sort order: DuckDB-Iceberg 1.5.5 refuses to write into a sorted table, so the gateway
    sorts the rows and the engine is shown an unsorted one.
    """
    wanted = {reference["snapshot-id"] for reference in (metadata.get("refs") or {}).values()}
    wanted.add(metadata.get("current-snapshot-id"))
    snapshots = [s for s in metadata.get("snapshots") or () if s["snapshot-id"] in wanted]
    shown = {key: value for key, value in metadata.items() if value is not None}
    return {
        **shown,
        "properties": _writing_properties(metadata),
        "snapshots": snapshots,
        "snapshot-log": [],
        "metadata-log": [],
        "sort-orders": [{"order-id": 0, "fields": []}],
        "default-sort-order-id": 0,
    }


def _writing_properties(metadata: Json) -> Json:
    """The table's properties, with file sizes as DuckDB-Iceberg 1.5.5 can use them.

    Without a size it begins a new file with every row group, 4 MB or so each; for partitioned
    tables it refuses to be told one.
    """
    properties = dict(metadata.get("properties") or {})
    default = metadata.get("default-spec-id")
    specs = metadata.get("partition-specs") or ()
    partitioned = any(spec["spec-id"] == default and spec["fields"] for spec in specs)
    if partitioned:
        properties.pop(FILE_SIZE_PROPERTY, None)
        properties.pop(ROW_GROUP_PROPERTY, None)
    else:
        properties.setdefault(FILE_SIZE_PROPERTY, FILE_SIZE_BYTES)
    return properties


def _error(error: LakeholdError) -> bytes:
    kind = "CommitFailedException" if isinstance(error, CommitConflict) else type(error).__name__
    return _encode({"error": {"message": error.message, "type": kind, "code": error.http_status}})
