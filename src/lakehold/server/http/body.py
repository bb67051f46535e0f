"""Reading what a client sends, within limits: length, encoding, time between two pieces."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any, Protocol, TypeVar

import msgspec
import zstandard
from litestar import Request

from lakehold.errors import InvalidRequest, RequestTooLarge, UnsupportedMediaType

JSON_BYTES_MAX = 32 * 1024 * 1024
"""Length of a JSON body after decoding; a statement has a smaller limit of its own."""
LOAD_BYTES_MAX = 1024 * 1024 * 1024 * 1024
"""Length of an uploaded file or Arrow stream; the staging quota is usually hit first."""
IDLE_S = 60.0
"""Seconds that a client may be silent while it sends a body."""
_ZSTD_WINDOW_BYTES_MAX = 8 * 1024 * 1024
_ZSTD_SLICE_BYTES = 512
"""Compressed bytes fed at once: bounds what a hostile stream can expand to in one step."""

JSON = "application/json"

T = TypeVar("T", bound=msgspec.Struct)
AnyRequest = Request[Any, Any, Any]


class _Decoder(Protocol):
    def decode(self, piece: bytes) -> list[bytes]: ...

    def finished(self) -> bool: ...


class _Plain:
    def decode(self, piece: bytes) -> list[bytes]:
        return [piece]

    def finished(self) -> bool:
        return True


class _Gzip:
    STEP_BYTES = 1024 * 1024

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)

    def decode(self, piece: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        while piece:
            pieces.append(self._inflate.decompress(piece, self.STEP_BYTES))
            piece = self._inflate.unconsumed_tail
            if self._inflate.eof and self._inflate.unused_data:
                piece = self._inflate.unused_data  # several members, as gzip allows
                self._inflate = zlib.decompressobj(wbits=31)
        return pieces

    def finished(self) -> bool:
        return self._inflate.eof


class _Zstandard:
    def __init__(self) -> None:
        decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
        self._inflate = decompressor.decompressobj(read_across_frames=False)

    def decode(self, piece: bytes) -> list[bytes]:
        return [
            self._inflate.decompress(piece[start : start + _ZSTD_SLICE_BYTES])
            for start in range(0, len(piece), _ZSTD_SLICE_BYTES)
        ]

    def finished(self) -> bool:
        return self._inflate.eof


def _decoder(encoding: str) -> _Decoder:
    if encoding in {"", "identity"}:
        return _Plain()
    if encoding in {"gzip", "x-gzip"}:
        return _Gzip()
    if encoding == "zstd":
        return _Zstandard()
    raise UnsupportedMediaType(
        f"the content encoding {encoding!r} is not spoken here",
        hint="Send gzip, zstd or none.",
    )


async def pieces(request: AnyRequest, limit_bytes: int) -> AsyncIterator[bytes]:
    """Yield the decoded body piece by piece.

    A ``Content-Length`` above the limit is refused before anything is read.

    Raises:
        RequestTooLarge: the body, as sent or decoded, is longer than ``limit_bytes``.
        InvalidRequest: it is cut off, or not what its encoding says.
        UnsupportedMediaType: its encoding is unknown.
    """
    decoder = _decoder(request.headers.get("content-encoding", "").strip().lower())
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit_bytes:
        raise _too_large(limit_bytes)
    length = 0
    while True:
        piece, more = await _receive(request)
        try:
            decoded = decoder.decode(piece) if piece else []
        except (zlib.error, zstandard.ZstdError) as error:
            raise InvalidRequest(
                f"the body is not what its Content-Encoding says: {error}"
            ) from error
        for part in decoded:
            length += len(part)
            if length > limit_bytes:
                raise _too_large(limit_bytes)
            if part:
                yield part
        if not more:
            break
    if length and not decoder.finished():
        raise InvalidRequest("the body is cut off: its compressed data does not end")


async def _receive(request: AnyRequest) -> tuple[bytes, bool]:
    try:
        async with asyncio.timeout(IDLE_S):
            message: Any = await request.receive()
    except TimeoutError:
        raise InvalidRequest(f"nothing of the body came for {IDLE_S:.0f} s") from None
    if message["type"] == "http.disconnect":
        raise InvalidRequest("the body is cut off: the client went away")
    return bytes(message.get("body", b"")), bool(message.get("more_body", False))


def _too_large(limit_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(
        f"the body is longer than the {limit_bytes:,} bytes that are allowed here",
        hint="Bind values as parameters, or load data with POST /v1/load.",
    )


async def read_json(request: AnyRequest, kind: type[T], limit_bytes: int = JSON_BYTES_MAX) -> T:
    """Read a JSON body as ``kind``.

    Raises:
        UnsupportedMediaType: the content type is not JSON.
        InvalidRequest: it is not JSON, not UTF-8, or not of that shape.
    """
    content_type = media_type(request)
    if content_type not in {JSON, ""}:
        raise UnsupportedMediaType(
            f"the content type {content_type!r} is not spoken here",
            hint=f"Send {JSON}.",
        )
    body = b"".join([piece async for piece in pieces(request, limit_bytes)])
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the body is not valid: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from error


def media_type(request: AnyRequest) -> str:
    """The content type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def query_parameters(request: AnyRequest, allowed: frozenset[str]) -> dict[str, str]:
    """The query string, each name at most once and none that is not ``allowed``."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            raise InvalidRequest(
                f"there is no query parameter {name!r} here",
                hint="There are " + ", ".join(sorted(allowed)) + ".",
            )
        if name in found:
            raise InvalidRequest(f"the query parameter {name!r} is given twice")
        found[name] = value
    return found
