"""The staging area: files on the way in, within a quota, gone afterwards."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from uuid import uuid4

import pyarrow as pa

from lakehold.errors import InvalidRequest, InvalidValue, StorageFailed

QUOTA_BYTES = 256 * 1024 * 1024 * 1024
"""Bytes that all staged files may have together."""
_RESERVE_BYTES = 64 * 1024 * 1024


class StagingArea:
    """A folder for files on the way in.

    Whatever an earlier process left in it is deleted at the start: a staged file belongs to
    one request.

    Args:
        folder: made if it is missing; only the owner may look into it.
        quota_bytes: bytes that all staged files may have together.
    """

    def __init__(self, folder: Path, quota_bytes: int = QUOTA_BYTES) -> None:
        self.folder = folder
        self._quota_bytes = quota_bytes
        self._lock = threading.Lock()
        self._used_bytes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
            for left in folder.glob("staged-*"):
                shutil.rmtree(left, ignore_errors=True)
        except OSError as error:
            raise StorageFailed(f"the staging folder cannot be used: {error.strerror}") from error

    @property
    def used_bytes(self) -> int:
        """Bytes that staged files have now."""
        return self._used_bytes

    def create(self) -> StagedFile:
        """A new, empty staged file, alone in a folder of its own."""
        return StagedFile(self, self.folder / f"staged-{uuid4().hex}")

    def take(self, length: int) -> None:
        """Take room for ``length`` bytes, or raise ``StorageFailed``."""
        with self._lock:
            if self._used_bytes + length > self._quota_bytes:
                raise StorageFailed(
                    f"the staging area is full: its quota is {self._quota_bytes:,} bytes",
                    hint="Load smaller files, or ask for a larger staging quota.",
                )
            self._used_bytes += length

    def give_back(self, length: int) -> None:
        """Give room back."""
        with self._lock:
            self._used_bytes -= length


class StagedFile:
    """A file on the way in. Not thread safe."""

    def __init__(self, area: StagingArea, folder: Path) -> None:
        self._area = area
        self._folder = folder
        self.path = folder / "file"
        self.length = 0
        self._deleted = False
        try:
            folder.mkdir(mode=0o700)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise StorageFailed(f"nothing can be staged: {error.strerror}") from error
        self._file: IO[bytes] = os.fdopen(descriptor, "wb", buffering=1024 * 1024)

    def write(self, piece: bytes) -> None:
        """Append to the file.

        Raises:
            StorageFailed: the quota or the disk is full.
        """
        self._area.take(len(piece))
        self.length += len(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise StorageFailed(f"the file cannot be staged: {error.strerror}") from error

    def finish(self) -> None:
        """Flush what was written; the file can be read from now on."""
        try:
            self._file.close()
        except OSError as error:
            raise StorageFailed(f"the file cannot be staged: {error.strerror}") from error

    def delete(self) -> None:
        """Delete the file and give its space back. Idempotent."""
        if self._deleted:
            return
        self._deleted = True
        try:
            self._file.close()
        except OSError:
            pass  # it is thrown away anyway
        shutil.rmtree(self._folder, ignore_errors=True)
        self._area.give_back(self.length)


class ArrowInput:
    """A staged Arrow IPC stream or file; every batch is validated before it is handed on.

    The bytes come from a client: without validation, offsets that point outside of their
    buffer would be read. An engine hides what its input fails with; it is kept in ``failure``.

    Raises:
        InvalidRequest: it is neither.
    """

    def __init__(self, staged: StagedFile) -> None:
        self.failure: InvalidValue | None = None
        self.reader = self._open(staged)

    def _open(self, staged: StagedFile) -> pa.RecordBatchReader:
        try:
            source = pa.memory_map(str(staged.path)) if staged.length else pa.py_buffer(b"")
            if _starts_with(staged.path, b"ARROW1"):
                file = pa.ipc.open_file(source)
                batches = (file.get_batch(number) for number in range(file.num_record_batches))
                return pa.RecordBatchReader.from_batches(file.schema, self._validated(batches))
            stream = pa.ipc.open_stream(source)
            return pa.RecordBatchReader.from_batches(stream.schema, self._validated(iter(stream)))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
            raise InvalidRequest(f"the body is not an Arrow IPC stream: {error}") from error

    def _validated(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                batch.validate(full=True)
                yield batch
        except (pa.ArrowInvalid, OSError) as error:
            self.failure = InvalidValue(f"the Arrow data is damaged: {error}")
            raise self.failure from error


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic
