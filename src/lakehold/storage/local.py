"""A folder on this machine as an object store."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from datetime import UTC, datetime

import structlog

from lakehold.errors import InvalidDefinition, ObjectExists, ObjectMissing, StorageFailed
from lakehold.storage.location import FILE_SCHEME, local_path, segments
from lakehold.storage.store import ObjectInfo

log = structlog.get_logger(__name__)

_TEMPORARY = ".lakehold-partial-"
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
)
_READING = frozenset({"read", "look at", "list"})


class LocalStore:
    """Objects are files under ``root``; written to a temporary file, synced, then renamed."""

    def __init__(self, root: str) -> None:
        self._scheme = FILE_SCHEME if root.startswith(FILE_SCHEME) else ""
        path = local_path(root).rstrip("/")
        segments(path, root)
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            raise StorageFailed(
                f"the warehouse {root} cannot be made: {error.strerror}", hint=_hint(error.errno)
            ) from None
        self._path = path
        self._real = os.path.realpath(path)

    @property
    def root(self) -> str:
        return self._scheme + self._path

    def check(self, location: str) -> str:
        self._locate(location)
        return location

    def read(self, location: str) -> bytes:
        path = self._locate(location)
        with _storage_errors("read", location), open(path, "rb") as file:
            return file.read()

    def write(self, location: str, data: bytes, *, overwrite: bool = False) -> None:
        path = self._locate(location)
        folder = os.path.dirname(path)
        temporary = os.path.join(folder, f"{_TEMPORARY}{uuid.uuid4().hex}")
        with _storage_errors("write", location):
            self._make_folder(folder)
            try:
                with open(temporary, "xb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if overwrite:
                    os.replace(temporary, path)
                else:
                    _place(temporary, path)
                _sync_folder(folder)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def delete(self, location: str) -> None:
        path = self._locate(location)
        with _storage_errors("delete", location), contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def delete_under(self, prefix: str) -> int:
        path = self._locate(prefix)
        if os.path.realpath(path) == self._real:
            raise InvalidDefinition("the whole warehouse cannot be deleted")
        count = sum(1 for _ in self.list(prefix))
        with _storage_errors("delete", prefix), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(path)
        return count

    def exists(self, location: str) -> bool:
        path = self._locate(location)
        with _storage_errors("look at", location):
            try:
                return stat.S_ISREG(os.stat(path).st_mode)
            except (FileNotFoundError, NotADirectoryError):
                return False

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        folders = [self._locate(prefix)]
        while folders:
            folder = folders.pop()
            with _storage_errors("list", prefix):
                try:
                    entries = list(os.scandir(folder))
                except (FileNotFoundError, NotADirectoryError):
                    continue
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode):
                        modified = datetime.fromtimestamp(info.st_mtime, UTC)
                        yield ObjectInfo(self._scheme + entry.path, info.st_size, modified)

    def make_folder(self, location: str) -> None:
        path = self._locate(location)
        with _storage_errors("make", location):
            self._make_folder(path)

    def sync(self, locations: Collection[str]) -> None:
        paths = {self._locate(location): location for location in locations}
        for path, location in paths.items():
            with _storage_errors("sync", location):
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        for folder in {os.path.dirname(path) for path in paths}:
            with _storage_errors("sync", folder):
                _sync_folder(folder)

    @property
    def needs_sync(self) -> bool:
        return True

    def _locate(self, location: str) -> str:
        """The path of a location, if neither its text nor its links leave the root."""
        path = local_path(location)
        segments(path, location)
        real = os.path.realpath(path)
        if real != self._real and not real.startswith(self._real + "/"):
            raise InvalidDefinition(
                f"{location!r} is outside of the warehouse",
                hint="leave the location out, and the catalog chooses one",
            )
        return path.rstrip("/")

    def _make_folder(self, folder: str) -> None:
        """Make a folder and those above it, each durable in the one that holds it."""
        if os.path.isdir(folder):
            return
        parent = os.path.dirname(folder)
        self._make_folder(parent)
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        _sync_folder(parent)


def _place(temporary: str, path: str) -> None:
    """Give a finished file its name, unless the name is taken."""
    try:
        os.link(temporary, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        os.rename(temporary, path)


def _sync_folder(folder: str) -> None:
    """Make the names in a folder durable: a synced file without its name is lost."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _storage_errors(action: str, location: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"there is nothing at {location!r}") from error
    except FileExistsError as error:
        raise ObjectExists(f"there is an object at {location!r} already") from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        # Where tables are is nothing for whoever runs a statement: the log tells it.
        log.error("storage_failed", action=action, location=location, reason=reason)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            told = "the store is full; nothing was committed"
        else:
            done = "read" if action in _READING else "written"
            told = f"the warehouse cannot be {done}: {reason}"
        raise StorageFailed(told, hint=_hint(error.errno)) from error


def _hint(number: int | None) -> str | None:
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "free space on the disk of the warehouse"
    if number in (errno.EROFS, errno.EACCES, errno.EPERM):
        return "make the folder of the warehouse writable for the user that runs the platform"
    return None
