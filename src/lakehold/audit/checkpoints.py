"""Signed checkpoints outside of PostgreSQL.

A chain that was cut at its end, or a database that was put back to an older state, fits in
itself. A checkpoint says how far the chain had come; it is kept in a file beside the
database and signed with the platform's key.
"""

from __future__ import annotations

import hmac
import os
import threading
from dataclasses import dataclass
from pathlib import Path

import msgspec


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The chain's end at a moment. ``hash`` and ``signature`` are hexadecimal."""

    seq: int
    hash: str
    at: str
    signature: str = ""


class Checkpoints:
    """The checkpoint file: one JSON object a line, only ever appended to."""

    def __init__(self, path: Path, key: bytes) -> None:
        self._path = path
        self._key = key
        self._lock = threading.Lock()

    def add(self, seq: int, hash_: bytes, at: str) -> None:
        """Append a checkpoint and make it durable."""
        signed = Checkpoint(seq, hash_.hex(), at, self._sign(seq, hash_.hex(), at))
        line = msgspec.json.encode(signed) + b"\n"
        with self._lock:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def read(self) -> tuple[list[Checkpoint], bool]:
        """All checkpoints, and whether every line is genuine.

        A last line without its end, from a crash while it was written, does not count.
        """
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return [], True
        found, genuine = [], True
        lines = data.split(b"\n")
        for line in lines[:-1]:
            try:
                point = msgspec.json.decode(line, type=Checkpoint)
            except msgspec.MsgspecError:
                genuine = False
                continue
            expected = self._sign(point.seq, point.hash, point.at)
            if hmac.compare_digest(expected, point.signature):
                found.append(point)
            else:
                genuine = False
        return found, genuine

    def _sign(self, seq: int, hash_: str, at: str) -> str:
        return hmac.digest(self._key, f"checkpoint|{seq}|{hash_}|{at}".encode(), "sha256").hex()
