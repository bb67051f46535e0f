"""Metadata files: written once, never changed, parsed once."""

from __future__ import annotations

import uuid
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

import msgspec

from lakehold.catalog.relation import Json, Structure, structure_of
from lakehold.errors import InvalidDefinition
from lakehold.storage import ObjectStore, join

CACHE_BYTES_DEFAULT = 64 * 1024 * 1024
"""Serialized size of the metadata that is kept parsed."""

METADATA_BYTES_MAX = 256 * 1024 * 1024
"""A metadata file above this is refused rather than parsed."""


@dataclass(slots=True)
class _Parsed:
    metadata: Json
    size: int
    structure: Structure | None = None


class MetadataFiles:
    """Reads, writes and remembers metadata files. Thread safe."""

    def __init__(self, store: ObjectStore, *, cache_bytes: int = CACHE_BYTES_DEFAULT) -> None:
        self._store = store
        self._cache: OrderedDict[str, _Parsed] = OrderedDict()
        self._cache_bytes = cache_bytes
        self._cached_bytes = 0
        self._lock = Lock()
        self._encoder = msgspec.json.Encoder()

    def read(self, location: str) -> Json:
        """Parsed metadata; not to be changed by the caller.

        Raises:
            InvalidDefinition: if it is not a metadata file, or lies outside of the warehouse.
            ObjectMissing: if there is none.
        """
        return self._parsed(location).metadata

    def structure(self, location: str) -> Structure:
        """The shape that a metadata file describes."""
        parsed = self._parsed(location)
        if parsed.structure is None:
            parsed.structure = structure_of(parsed.metadata)
        return parsed.structure

    def write(self, folder: str, version: int, metadata: Json) -> str:
        """Write ``<folder>/metadata/<version>-<uuid>.metadata.json``; returns its location."""
        location = join(folder, "metadata", f"{version:05d}-{uuid.uuid4()}.metadata.json")
        data = self._encoder.encode(metadata)
        self._store.write(location, data)
        self._remember(location, _Parsed(metadata, len(data)))
        return location

    @property
    def cached_bytes(self) -> int:
        """Serialized size of what is kept parsed."""
        return self._cached_bytes

    def forget(self, location: str) -> None:
        """Delete a metadata file that nothing refers to."""
        with self._lock:
            parsed = self._cache.pop(location, None)
            if parsed is not None:
                self._cached_bytes -= parsed.size
        self._store.delete(location)

    def _parsed(self, location: str) -> _Parsed:
        with self._lock:
            parsed = self._cache.get(location)
            if parsed is not None:
                self._cache.move_to_end(location)
                return parsed
        data = self._store.read(location)
        try:
            data = _unpacked(data)
            metadata = msgspec.json.decode(data)
        except (msgspec.DecodeError, zlib.error, UnicodeDecodeError) as error:
            raise InvalidDefinition(f"there is no table metadata at {location!r}") from error
        if not isinstance(metadata, dict) or "format-version" not in metadata:
            raise InvalidDefinition(f"there is no table metadata at {location!r}")
        parsed = _Parsed(metadata, len(data))
        self._remember(location, parsed)
        return parsed

    def _remember(self, location: str, parsed: _Parsed) -> None:
        with self._lock:
            old = self._cache.pop(location, None)
            if old is not None:
                self._cached_bytes -= old.size
            self._cache[location] = parsed
            self._cached_bytes += parsed.size
            while self._cached_bytes > self._cache_bytes and len(self._cache) > 1:
                _, dropped = self._cache.popitem(last=False)
                self._cached_bytes -= dropped.size


def _unpacked(data: bytes) -> bytes:
    """Metadata may be packed with gzip (Iceberg: ``write.metadata.compression-codec``)."""
    if data[:2] == b"\x1f\x8b":
        unpacker = zlib.decompressobj(wbits=31)
        data = unpacker.decompress(data, METADATA_BYTES_MAX + 1)
        if len(data) <= METADATA_BYTES_MAX and not unpacker.eof:
            raise zlib.error("cut off")
    if len(data) > METADATA_BYTES_MAX:
        raise InvalidDefinition("the metadata of the table is too large")
    return data


def version_of(metadata_location: str) -> int:
    """The version number in a metadata file's name; 0 if it has another form of name."""
    name = metadata_location.rsplit("/", 1)[-1]
    number = name.split("-", 1)[0].removeprefix("v").split(".", 1)[0]
    return int(number) if number.isdigit() else 0
