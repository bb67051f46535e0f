"""Signed ends of the chain in a file outside of PostgreSQL.

A chain whose tail was cut off, with its head set back, is whole in itself; so is an older copy
that was restored. The checkpoints remember how far it went. One JSON object a line:
``{"at":…,"hash":…,"mac":…,"seq":…}``, ``mac = HMAC-SHA256(key, "checkpoint" seq hash at)``.
"""

from __future__ import annotations

import hmac
import json
import os
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehold.audit.chain import START, Head
from lakehold.audit.record import moment
from lakehold.errors import StorageFailed

LINE_BYTES_MAX = 4096


class CheckpointForged(Exception):
    """A line of the file that was not written with the key."""


class Checkpoints:
    """The file of checkpoints of one platform. Thread safe.

    Args:
        path: ``None`` to keep none.
    """

    def __init__(self, path: Path | None, key: bytes) -> None:
        self._path = path
        self._key = key
        self._lock = threading.Lock()
        self._last = START
        if path is not None and path.exists():
            self._mend(path)
            try:
                for seen in self.read():
                    self._last = seen
            except CheckpointForged:
                pass  # the verification reports it; what follows is appended nevertheless

    @property
    def last(self) -> Head:
        """The last one that was written."""
        return self._last

    def write(self, head: Head, at: datetime) -> None:
        """Append a checkpoint, durable when this returns; nothing if it is not a newer one.

        Raises:
            StorageFailed: if the file cannot be written.
        """
        with self._lock:
            if self._path is None or head.seq <= self._last.seq:
                return
            stamp = moment(at)
            line = {
                "seq": head.seq,
                "hash": head.hash.hex(),
                "at": stamp,
                "mac": self._mac(head, stamp).hex(),
            }
            try:
                self._append(self._path, json.dumps(line, sort_keys=True) + "\n")
            except OSError as error:
                raise StorageFailed(
                    f"the checkpoint of the ledger cannot be written: {error.strerror}"
                ) from error
            self._last = head

    def read(self) -> Iterator[Head]:
        """The checkpoints that there are now, as they were written: ascending.

        What is written while they are read is left out.

        Raises:
            CheckpointForged: at a line that was not written with the key, or out of order.
        """
        if self._path is None or not self._path.exists():
            return iter(())
        with self._lock:
            return self._lines(self._path, self._path.stat().st_size)

    def _lines(self, path: Path, size: int) -> Iterator[Head]:
        before = 0
        with path.open("rb") as file:
            number = 0
            while file.tell() < size:
                number += 1
                text = file.readline(LINE_BYTES_MAX).decode("utf-8", "replace")
                seen = self._parse(text)
                if seen is None or seen.seq <= before:
                    raise CheckpointForged(f"line {number} of {path.name} was changed")
                before = seen.seq
                yield seen

    def _parse(self, text: str) -> Head | None:
        try:
            line: Any = json.loads(text)
            head = Head(int(line["seq"]), bytes.fromhex(line["hash"]))
            genuine = hmac.compare_digest(
                self._mac(head, str(line["at"])), bytes.fromhex(line["mac"])
            )
        except (ValueError, TypeError, KeyError):
            return None
        return head if genuine else None

    def _mac(self, head: Head, stamp: str) -> bytes:
        text = f"checkpoint {head.seq} {head.hash.hex()} {stamp}"
        return hmac.digest(self._key, text.encode(), "sha256")

    @staticmethod
    def _append(path: Path, text: str) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, text.encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @staticmethod
    def _mend(path: Path) -> None:
        """Remove a last line that a crash left unfinished: nothing was promised by it."""
        with path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4096))
            tail = file.read()
            if tail and not tail.endswith(b"\n"):
                file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
