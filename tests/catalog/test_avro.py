"""Avro as PyIceberg and DuckDB write it."""

from __future__ import annotations

import contextlib
import io
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehold.catalog import avro
from lakehold.errors import InvalidDefinition

SCHEMA = {
    "type": "record",
    "name": "r",
    "fields": [
        {"name": "a", "type": "long"},
        {"name": "b", "type": ["null", "string"], "default": None},
        {
            "name": "c",
            "type": {
                "type": "record",
                "name": "inner",
                "fields": [
                    {"name": "d", "type": {"type": "array", "items": "long"}},
                    {"name": "e", "type": {"type": "map", "values": "bytes"}},
                    {"name": "f", "type": {"type": "fixed", "name": "id", "size": 4}},
                    {"name": "g", "type": "boolean"},
                    {"name": "h", "type": "double"},
                    {"name": "i", "type": "id"},
                ],
            },
        },
    ],
}


def long(value: int) -> bytes:
    encoded = (value << 1) ^ (value >> 63)
    out = bytearray()
    while encoded > 0x7F:
        out.append(encoded & 0x7F | 0x80)
        encoded >>= 7
    out.append(encoded)
    return bytes(out)


def text(value: bytes) -> bytes:
    return long(len(value)) + value


def record(a: int, b: str | None, d: list[int], e: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    out.write(long(a))
    out.write(long(0) if b is None else long(1) + text(b.encode()))
    if d:
        # A negative count is followed by the block's size in bytes.
        items = b"".join(map(long, d))
        out.write(long(-len(d)) + long(len(items)) + items)
    out.write(long(0))
    if e:
        out.write(long(len(e)))
        for key, value in e.items():
            out.write(text(key.encode()) + text(value))
    out.write(long(0))
    out.write(b"\x01\x02\x03\x04" + b"\x01" + b"\x00" * 8 + b"\x05\x06\x07\x08")
    return out.getvalue()


def container(records: list[bytes], codec: str = "null") -> bytes:
    header = {"avro.schema": json.dumps(SCHEMA).encode(), "avro.codec": codec.encode()}
    out = avro.MAGIC + long(len(header))
    for key, value in header.items():
        out += text(key.encode()) + text(value)
    sync = b"0123456789abcdef"
    out += long(0) + sync
    for start in range(0, len(records), 2):
        block = b"".join(records[start : start + 2])
        if codec == "deflate":
            packer = zlib.compressobj(wbits=-15)
            block = packer.compress(block) + packer.flush()
        out += long(len(records[start : start + 2])) + text(block) + sync
    return out


ALL: avro.Wanted = {"a": None, "b": None, "c": None}
longs = st.integers(-(2**63), 2**63 - 1)
values = st.tuples(
    longs, st.none() | st.text(), st.lists(longs), st.dictionaries(st.text(), st.binary())
)


@given(st.lists(values, max_size=6), st.sampled_from(["null", "deflate"]))
def test_what_was_written_is_read(written: list[Any], codec: str) -> None:
    data = container([record(*value) for value in written], codec)
    found = list(avro.records(data, ALL))
    assert [(r["a"], r["b"], r["c"]["d"], r["c"]["e"]) for r in found] == written
    assert all(r["c"]["f"] == b"\x01\x02\x03\x04" and r["c"]["g"] is True for r in found)
    some = list(avro.records(data, {"c": {"d": None}}))
    assert some == [{"c": {"d": value[2]}} for value in written]


@given(st.data())
def test_a_damaged_file_is_an_error_and_never_a_crash(data: st.DataObject) -> None:
    whole = container([record(1, "x", [1, 2], {"k": b"v"}), record(2, None, [], {})])
    at_the_end_of_the_header = len(container([]))
    cut = data.draw(st.integers(0, len(whole) - 1).filter(at_the_end_of_the_header.__ne__))
    with pytest.raises(InvalidDefinition):
        list(avro.records(whole[:cut], ALL))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(InvalidDefinition):
        list(avro.records(bytes(damaged), ALL))
