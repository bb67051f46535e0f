"""Reading Avro files, as far as Iceberg's manifests need it.

Source: Apache Avro 1.12 specification, "Object Container Files" and "Binary encoding".
Only the wanted fields are built; the rest is stepped over.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import msgspec
import pyarrow as pa

from lakehold.errors import InvalidDefinition

MAGIC = b"Obj\x01"
SYNC_BYTES = 16

BLOCK_BYTES_MAX = 512 * 1024 * 1024
"""A block that says it is larger than this once unpacked is taken for damaged."""

Wanted: TypeAlias = dict[str, "Wanted | None"]
"""The fields to read, by name; ``None`` for all of a field, a dictionary for some of it."""


class _Buffer:
    """A position in bytes; reading past the end is an error, never a short answer."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if size < 0 or end > len(self.data):
            raise ValueError("cut off")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def long(self) -> int:
        """A zig-zag encoded integer of variable length."""
        shift = result = 0
        data, at = self.data, self.at
        while True:
            byte = data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise ValueError("an integer of more than 64 bits")
        self.at = at
        return (result >> 1) ^ -(result & 1)


_Reader: TypeAlias = Callable[[_Buffer], Any]

_PRIMITIVES: dict[str, _Reader] = {
    "null": lambda _: None,
    "boolean": lambda b: b.take(1) == b"\x01",
    "int": _Buffer.long,
    "long": _Buffer.long,
    "float": lambda b: b.take(4),
    "double": lambda b: b.take(8),
    "bytes": lambda b: b.take(b.long()),
    "string": lambda b: b.take(b.long()).decode("utf-8"),
}


def records(data: bytes, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """The records of an Avro file, each with the wanted fields that it has.

    Raises:
        InvalidDefinition: if the file is damaged, or packed in a way that is not known.
    """
    try:
        yield from _records(data, wanted)
    except (
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        zlib.error,
        pa.ArrowException,
        msgspec.MsgspecError,
    ) as error:
        raise InvalidDefinition(f"the Avro file is damaged: {error}") from error


def _records(data: bytes, wanted: Wanted) -> Iterator[dict[str, Any]]:
    buffer = _Buffer(data)
    if buffer.take(len(MAGIC)) != MAGIC:
        raise ValueError("it does not begin as one")
    header = dict(_map_items(buffer, _PRIMITIVES["bytes"]))
    sync = buffer.take(SYNC_BYTES)
    schema = msgspec.json.decode(header["avro.schema"])
    codec = header.get("avro.codec", b"null").decode()
    read = _reader(schema, wanted, {})
    while buffer.at < len(data):
        count = buffer.long()
        block = _Buffer(_unpacked(buffer.take(buffer.long()), codec))
        for _ in range(count):
            yield read(block)
        if buffer.take(SYNC_BYTES) != sync:
            raise ValueError("a block does not end where it should")


def _unpacked(block: bytes, codec: str) -> bytes:
    if codec == "null":
        return block
    if codec == "deflate":
        unpacker = zlib.decompressobj(-15)
        unpacked = unpacker.decompress(block, BLOCK_BYTES_MAX)
        if unpacker.unconsumed_tail:
            raise ValueError("a block is too large")
        return unpacked
    if codec == "snappy":
        size = shift = at = 0
        while True:
            size |= (block[at] & 0x7F) << shift
            shift += 7
            at += 1
            if block[at - 1] < 0x80:
                break
        if size > BLOCK_BYTES_MAX:
            raise ValueError("a block is too large")
        packed = pa.decompress(block[:-4], decompressed_size=size, codec="snappy", asbytes=True)
        return bytes(packed)
    if codec == "zstandard":
        with pa.CompressedInputStream(pa.BufferReader(block), "zstd") as stream:
            unpacked = stream.read(BLOCK_BYTES_MAX)
            return bytes(unpacked)
    raise ValueError(f"it is packed with {codec!r}")


def _reader(schema: Any, wanted: Wanted | None, names: dict[str, Any]) -> _Reader:
    """A function that reads one value of a schema."""
    if isinstance(schema, list):
        branches = [_reader(branch, wanted, names) for branch in schema]
        return lambda b: branches[b.long()](b)
    if isinstance(schema, str):
        if schema in _PRIMITIVES:
            return _PRIMITIVES[schema]
        return _reader(names[schema], wanted, names)
    kind = schema["type"]
    if isinstance(kind, (dict, list)):
        return _reader(kind, wanted, names)
    if "name" in schema:
        names[schema["name"]] = schema
    if kind == "record":
        return _record_reader(schema, wanted, names)
    if kind == "fixed":
        size = int(schema["size"])
        return lambda b: b.take(size)
    if kind == "enum":
        return _Buffer.long
    if kind == "array":
        item = _reader(schema["items"], None, names)
        return lambda b: list(_array_items(b, item))
    if kind == "map":
        value = _reader(schema["values"], None, names)
        return lambda b: dict(_map_items(b, value))
    return _PRIMITIVES[kind]


def _record_reader(schema: Any, wanted: Wanted | None, names: dict[str, Any]) -> _Reader:
    fields: list[tuple[str | None, _Reader]] = []
    for item in schema["fields"]:
        name = item["name"]
        is_wanted = wanted is None or name in wanted
        inner = None if wanted is None else wanted.get(name)
        read = _reader(item["type"], inner if is_wanted else {}, names)
        fields.append((name if is_wanted else None, read))

    def read_record(buffer: _Buffer) -> dict[str, Any]:
        record = {}
        for name, read in fields:
            value = read(buffer)
            if name is not None:
                record[name] = value
        return record

    return read_record


def _array_items(buffer: _Buffer, item: _Reader) -> Iterator[Any]:
    for count in _counts(buffer):
        for _ in range(count):
            yield item(buffer)


def _map_items(buffer: _Buffer, value: _Reader) -> Iterator[tuple[str, Any]]:
    for count in _counts(buffer):
        for _ in range(count):
            name = buffer.take(buffer.long()).decode("utf-8")
            yield name, value(buffer)


def _counts(buffer: _Buffer) -> Iterator[int]:
    """The numbers of items in the blocks of an array or a map."""
    while count := buffer.long():
        if count < 0:
            buffer.long()
        yield abs(count)
