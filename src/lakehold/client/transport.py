"""Requests to a Lakehold server: errors, retries, results as they stream in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx
import pyarrow as pa

from lakehold.client.errors import (
    DatabaseError,
    Error,
    InterfaceError,
    OperationalError,
    error_from_fields,
)

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 60.0
"""Seconds that a small request may take; statements wait as long as the server lets them."""
KEEP_ALIVE_S = 30.0
"""Below the server's, so that a request never meets a connection that is being closed."""
POOLED_BYTES_MIN = 64 * 1024
REFUSALS_MAX = 5
"""How often a request that was refused with 429 is sent again."""
REFUSAL_WAIT_MAX_S = 30.0


class Transport:
    """Speaks HTTP with one server, as one principal. Thread safe.

    Args:
        url: base URL, such as ``https://lake.example:8443``.
        token: a Bearer token.
        verify: check the server's certificate; or the path of a CA bundle.
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        verify: bool | str = True,
        application: str = "",
    ) -> None:
        headers = {"User-Agent": application or "lakehold-python"}
        if token:
            headers["Authorization"] = f"Bearer {token.strip()}"
        try:
            self._http = httpx.Client(
                base_url=url.rstrip("/"),
                headers=headers,
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
                limits=httpx.Limits(max_connections=100, keepalive_expiry=KEEP_ALIVE_S),
                transport=None,
                verify=verify,
                follow_redirects=False,
                trust_env=False,
            )
        except (httpx.InvalidURL, OSError, ValueError) as error:
            raise InterfaceError(f"cannot connect to {url!r}: {error}") from error
        self.url = url.rstrip("/")

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = ANSWER_TIMEOUT_S,
    ) -> Any:
        """Send a request and return its JSON answer (``None`` if it has none)."""

        def build() -> httpx.Request:
            return self._http.build_request(
                method,
                path,
                json=body,
                content=content,
                params=params,
                headers=headers,
                timeout=httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            )

        response = self._send(build, repeatable=content is None)
        try:
            with _NetworkErrors():
                response.read()
        finally:
            response.close()
        return response.json() if response.content else None

    def stream(
        self,
        *,
        media: str,
        headers: Mapping[str, str],
        body: Any = None,
        content: Callable[[], Any] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Send a statement; the answer is open and must be closed."""
        sent = {"Accept": media, "Accept-Encoding": "identity", **headers}
        if content is not None:
            sent["Content-Type"] = ARROW

        def build() -> httpx.Request:
            return self._http.build_request(
                "POST",
                "/v1/sql",
                json=body,
                content=content() if content is not None else None,
                params=params,
                headers=sent,
                timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),
            )

        return self._send(build, repeatable=content is None)

    def _send(self, build: Callable[[], httpx.Request], *, repeatable: bool) -> httpx.Response:
        """Send, once more where the request was certainly not taken up."""
        for attempt in range(REFUSALS_MAX + 1):
            last = attempt == REFUSALS_MAX or not repeatable
            try:
                response = self._http.send(build(), stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if attempt >= 2 or last:
                    raise OperationalError(
                        f"cannot reach {self.url}: {error}",
                        sqlstate="08001",
                        hint="Is the server up? 'lakehold status' tells.",
                    ) from error
                time.sleep(0.1 * 2**attempt)
                continue
            except httpx.HTTPError as error:
                raise _lost(error) from error
            if response.status_code == 429 and not last:
                wait_s = _retry_after_s(response)
                response.close()
                time.sleep(min(wait_s, REFUSAL_WAIT_MAX_S))
                continue
            if response.is_success:
                return response
            raise read_error(response)
        raise AssertionError("unreachable")

    def statement_error(self, statement_id: UUID) -> DatabaseError:
        """Why a result broke off: the server knows."""
        fields: Any = None
        with suppress(Error):
            fields = self.call("GET", f"/v1/statements/{statement_id}")
        if isinstance(fields, dict) and isinstance(fields.get("error"), dict):
            return error_from_fields(fields["error"], 200)
        return OperationalError(
            "the connection broke before the result was complete",
            sqlstate="08006",
            statement_id=str(statement_id),
        )

    def cancel(self, statement_id: UUID) -> None:
        """Cancel a statement; nothing happens if it has ended."""
        with suppress(DatabaseError):
            self.call("DELETE", f"/v1/statements/{statement_id}")


def read_error(response: httpx.Response) -> DatabaseError:
    """The exception for a response that is an error; closes it."""
    try:
        with suppress(httpx.HTTPError):
            response.read()
        fields = response.json().get("error")
    except (ValueError, AttributeError, httpx.HTTPError):
        fields = None
    finally:
        response.close()
    if not isinstance(fields, dict):
        fields = {"message": f"the server answered with status {response.status_code}"}
    return error_from_fields(fields, response.status_code)


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "1")
    return float(text) if text.isdecimal() else 1.0


def _lost(error: httpx.HTTPError) -> OperationalError:
    return OperationalError(f"the connection broke: {error}", sqlstate="08006")


class _NetworkErrors:
    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, httpx.HTTPError):
            raise _lost(error) from error


def _joined(parts: list[memoryview]) -> Any:
    """One buffer of Arrow's own memory pool, which is quicker to come by than fresh pages."""
    length = sum(map(len, parts))
    if length < POOLED_BYTES_MIN:
        return b"".join(parts)
    buffer = pa.allocate_buffer(length)
    target, position = memoryview(buffer).cast("B"), 0
    for part in parts:
        target[position : position + len(part)] = part
        position += len(part)
    return buffer


class ResultStream:
    """The bytes of a result as a file that Arrow reads.

    A stream that is cut off raises the error that the server gives for the statement.
    """

    closed = False

    def __init__(self, transport: Transport, response: httpx.Response, statement_id: UUID) -> None:
        self._transport = transport
        self._response = response
        self._statement_id = statement_id
        self._pieces = response.iter_raw()
        self._rest = memoryview(b"")

    def pieces(self) -> Iterator[bytes]:
        """The bytes as they come."""
        while piece := self._next():
            yield piece

    def read(self, length: int = -1) -> Any:
        """Up to ``length`` bytes; fewer only at the end."""
        parts: list[memoryview] = []
        missing = length if length >= 0 else 1 << 62
        while missing > 0:
            if not self._rest:
                self._rest = memoryview(self._next())
                if not self._rest:
                    break
            part = self._rest[:missing]
            self._rest = self._rest[len(part) :]
            missing -= len(part)
            parts.append(part)
        return _joined(parts)

    def _next(self) -> bytes:
        try:
            return next(self._pieces, b"")
        except (httpx.HTTPError, httpx.StreamError) as error:
            self.close()
            raise self._transport.statement_error(self._statement_id) from error

    def close(self) -> None:
        """Give the connection back; the server cancels what is not yet sent."""
        self.closed = True
        self._response.close()

    def reader(self) -> pa.RecordBatchReader:
        """The result as Arrow record batches."""
        return pa.ipc.open_stream(pa.PythonFile(self, mode="r"))
