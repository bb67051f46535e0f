"""Running a statement for an HTTP request and streaming its result.

Rows are pulled and encoded in a worker thread, one chunk ahead of what is being sent; the
socket's back-pressure holds the worker back, so a result of any size needs the memory of two
chunks. A client that goes away, or does not read for ``STALL_S``, cancels its statement.
"""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
import zstandard
from litestar import Request, Response

from lakehold.errors import LakeholdError, StatementCancelled, TooManyRequests
from lakehold.identity import Principal
from lakehold.server.errors import as_lakehold_error, error_detail, error_response
from lakehold.server.http.encoding import (
    ARROW,
    ColumnDescription,
    ResultEncoder,
    ResultHead,
    ResultTail,
    encoder_for,
)

CHUNK_BYTES = 2 * 1024 * 1024
"""A chunk is sent when it has grown to this."""
CHUNK_S = 0.2
"""Seconds after which a smaller chunk is sent too."""
STALL_S = 300.0
"""Seconds that a client may stop reading before its statement is cancelled."""
WORKERS_MAX = 64
"""Statements that run or produce rows at once; more are refused."""

_log = structlog.get_logger("lakehold.server")


@dataclass(frozen=True, slots=True)
class StatementCall:
    """A statement to run.

    Attributes:
        execute: runs it under the given id and returns the gateway's ``Result``. May block.
        release: called once when all is over (closes a session, deletes a staged file).
        media: the form of the answer.
        coding: ``gzip``, ``zstd`` or ``None``.
    """

    principal: Principal
    statement_id: UUID
    execute: Callable[[], Any]
    release: Callable[[], None]
    media: str
    coding: str | None = None


class StatementRunner:
    """Runs statements in worker threads of its own.

    Args:
        cancel: the gateway's: (principal, statement id). May block.
    """

    def __init__(self, cancel: Callable[[Principal, UUID], object]) -> None:
        self._cancel = cancel
        self._workers = ThreadPoolExecutor(WORKERS_MAX, thread_name_prefix="lakehold-statement")
        self._controls = ThreadPoolExecutor(4, thread_name_prefix="lakehold-cancel")
        self._active = 0
        self._endings: set[asyncio.Task[None]] = set()

    async def settle(self) -> None:
        """Wait until what broken-off requests left behind has ended."""
        while self._endings:
            await asyncio.wait(set(self._endings))

    def close(self) -> None:
        """Wait for the workers and end them."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._controls.shutdown(wait=True)

    async def respond(self, request: Request[Any, Any, Any], call: StatementCall) -> Response[Any]:
        """Run ``call`` and return the response that will stream its result."""
        production = Production(call)
        if self._active >= WORKERS_MAX:
            call.release()
            raise TooManyRequests("too many statements are running", retry_after_s=1)
        self._active += 1
        first = self._in_worker(production.first)
        gone = asyncio.create_task(disconnected(request.receive))
        try:
            await asyncio.wait({first, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not first.done():
                raise StatementCancelled("the client went away")
            chunk = first.result()
        except BaseException as error:
            gone.cancel()
            self._end_later(production, first)
            if isinstance(error, Exception):
                return error_response(error, call.statement_id)
            raise
        if production.complete:
            gone.cancel()
            self._active -= 1
            return _WholeResponse(production, chunk)
        return _ChunkedResponse(self, production, chunk, gone)

    def _in_worker(self, work: Callable[[], Any]) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self._workers, work)

    def _end_later(self, production: Production, pending: asyncio.Future[Any] | None) -> None:
        """Cancel if it still runs, and release everything, whatever happens to the request."""
        task = asyncio.create_task(self._end(production, pending))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def _end(self, production: Production, pending: asyncio.Future[Any] | None) -> None:
        loop = asyncio.get_running_loop()
        call = production.call
        try:
            while pending is not None and not pending.done():
                # Repeated: the statement may not have been known to the gateway yet.
                await loop.run_in_executor(self._controls, self._cancel_quietly, call)
                await asyncio.wait({pending}, timeout=0.5)
            if pending is not None and not pending.cancelled():
                pending.exception()  # seen: whoever waited for it has gone
            await loop.run_in_executor(self._workers, production.close)
        finally:
            self._active -= 1

    def _cancel_quietly(self, call: StatementCall) -> None:
        try:
            self._cancel(call.principal, call.statement_id)
        except LakeholdError:
            pass  # it has ended by itself
        except Exception as error:
            as_lakehold_error(error)

    async def send(
        self,
        production: Production,
        chunk: bytes | None,
        gone: asyncio.Task[None],
        send: Any,
    ) -> None:
        """Send ``chunk`` and all that follow it."""
        following: asyncio.Future[Any] | None = None
        try:
            await send(production.response_start())
            while chunk is not None and not gone.done():
                following = self._in_worker(production.next)
                async with asyncio.timeout(STALL_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await asyncio.wait({following, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    return
                chunk = following.result()
            if production.complete and not gone.done():
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            _log.warning("stalled client", statement_id=str(production.call.statement_id))
        finally:
            gone.cancel()
            self._end_later(production, following)


class Production:
    """The chunks of one result. Its methods run in one worker thread at a time."""

    def __init__(self, call: StatementCall) -> None:
        self.call = call
        self._started = time.perf_counter()
        self._result: Any = None
        self._chunks: Iterator[bytes] | None = None
        self._closed = False
        self.complete = False
        """Whether the answer came to its proper end."""

    def first(self) -> bytes | None:
        """Run the statement and return the first chunk; raises what it fails with."""
        self._result = self.call.execute()
        self._chunks = self._produce(encoder_for(self.call.media))
        chunk = next(self._chunks, None)
        if self.complete:
            self.close()
        return chunk

    def next(self) -> bytes | None:
        """The next chunk; ``None`` after the last. ``complete`` tells whether all is there."""
        assert self._chunks is not None
        return next(self._chunks, None)

    def response_start(self) -> dict[str, Any]:
        """The ASGI message that starts the response."""
        result = self._result
        headers = [
            (b"content-type", _content_type(self.call.media)),
            (b"vary", b"Accept, Accept-Encoding"),
            (b"cache-control", b"no-store"),
            (b"lakehold-statement-id", str(self.call.statement_id).encode()),
            (b"lakehold-kind", str(result.kind).encode("ascii", "replace")),
        ]
        if result.affected is not None:
            headers.append((b"lakehold-affected", str(result.affected).encode()))
        if self.call.coding is not None:
            headers.append((b"content-encoding", self.call.coding.encode()))
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def close(self) -> None:
        """Release the result: its ledger record is written now. Idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._result is not None:
                self._result.close()
        except Exception as error:
            as_lakehold_error(error)
        finally:
            self.call.release()

    def _produce(self, encoder: ResultEncoder) -> Iterator[bytes]:
        """Chunks of about ``CHUNK_BYTES``; nothing is yielded before the first rows are there."""
        result = self._result
        compress = _compressor(self.call.coding)
        pieces = [compress.feed(encoder.start(self._head()))]
        size, since, sent = len(pieces[0]), time.perf_counter(), False
        error: LakeholdError | None = None
        try:
            for batch in result.batches():
                for piece in encoder.batch(batch):
                    pieces.append(compress.feed(piece))
                    size += len(pieces[-1])
                    if size >= CHUNK_BYTES or (size and time.perf_counter() - since > CHUNK_S):
                        yield _joined(pieces)
                        pieces, size, since, sent = [], 0, time.perf_counter(), True
        except Exception as failure:
            if not sent:
                raise
            error = as_lakehold_error(failure)
        end = encoder.finish(self._tail(error))
        if end is not None:
            pieces += [compress.feed(end), compress.finish()]
            self.complete = True
        yield _joined(pieces)

    def _head(self) -> ResultHead:
        result = self._result
        columns = [ColumnDescription(column.name, column.type) for column in result.columns]
        return ResultHead(str(self.call.statement_id), result.kind, columns, result.schema)

    def _tail(self, error: LakeholdError | None) -> ResultTail:
        return ResultTail(
            affected=self._result.affected,
            duration_ms=self._elapsed_ms(),
            error=error_detail(error, self.call.statement_id) if error is not None else None,
        )

    def _elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)


class _WholeResponse(Response[None]):
    """A result that is so small that it is complete; it needs no worker any more."""

    def __init__(self, production: Production, content: bytes | None) -> None:
        super().__init__(content=None)
        self._start = production.response_start()
        self._content = content or b""
        self._start["headers"].append((b"content-length", b"%d" % len(self._content)))

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        async def respond(scope: Any, receive: Any, send: Any) -> None:
            await send(self._start)
            await send(
                {
                    "type": "http.response.body",
                    "body": self._content,
                    "more_body": False,
                }
            )

        return respond


class _ChunkedResponse(Response[None]):
    """A Litestar response that hands the connection to the runner."""

    def __init__(
        self,
        runner: StatementRunner,
        production: Production,
        chunk: bytes | None,
        gone: asyncio.Task[None],
    ) -> None:
        super().__init__(content=None)
        self._runner, self._production, self._chunk, self._gone = (
            runner,
            production,
            chunk,
            gone,
        )

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        async def respond(scope: Any, receive: Any, send: Any) -> None:
            await self._runner.send(self._production, self._chunk, self._gone, send)

        return respond


async def disconnected(receive: Callable[[], Any]) -> None:
    """Return when the client has gone. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Compressor:
    def feed(self, piece: bytes) -> bytes:
        return piece

    def finish(self) -> bytes:
        return b""


class _Gzip(_Compressor):
    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=1, wbits=31)

    def feed(self, piece: bytes) -> bytes:
        return self._deflate.compress(piece)

    def finish(self) -> bytes:
        return self._deflate.flush()


class _Zstandard(_Compressor):
    def __init__(self) -> None:
        self._compress = zstandard.ZstdCompressor(level=1).compressobj()

    def feed(self, piece: bytes) -> bytes:
        return self._compress.compress(piece)

    def finish(self) -> bytes:
        return self._compress.flush()


def _compressor(coding: str | None) -> _Compressor:
    return {"gzip": _Gzip, "zstd": _Zstandard}.get(coding or "", _Compressor)()


def _joined(pieces: list[bytes]) -> bytes:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _content_type(media: str) -> bytes:
    return (media if media == ARROW else f"{media}; charset=utf-8").encode()
