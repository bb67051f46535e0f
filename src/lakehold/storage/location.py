"""Locations: where an object is, as one string.

A location is ``/abs/path``, ``file:///abs/path`` or ``s3://bucket/key``. Nothing in it is
decoded: a percent sign is a percent sign, as Iceberg's readers take it.
"""

from __future__ import annotations

import re

from lakehold.errors import InvalidDefinition

_SLASHES = re.compile("/{2,}")

FILE_SCHEME = "file://"
S3_SCHEME = "s3://"


def local_path(location: str) -> str:
    """The absolute path of a local location.

    Raises:
        InvalidDefinition: if it is not ``/abs/path``, ``file:///abs/path`` or ``file:/abs/path``.
    """
    path = location
    for scheme in (FILE_SCHEME, "file:"):
        if location.startswith(scheme):
            path = location.removeprefix(scheme)
            break
    if not path.startswith("/"):
        raise InvalidDefinition(f"{location!r} is not a location on this machine")
    return path


def without_scheme(location: str) -> str:
    """The form under which two locations are compared.

    On disk no ``file:`` and no doubled slash; in a bucket always ``s3:``, whatever Hadoop's
    names for it.
    """
    for alias in ("s3a://", "s3n://"):
        if location.startswith(alias):
            return S3_SCHEME + location.removeprefix(alias)
    if location.startswith(("file:", "/")):
        return _SLASHES.sub("/", "/" + location.removeprefix("file:"))
    return location


def join(prefix: str, *names: str) -> str:
    """The location of ``names`` under ``prefix``."""
    return "/".join((prefix.rstrip("/"), *names))


def segments(path: str, location: str) -> list[str]:
    """The parts of a path, each a plain name.

    Raises:
        InvalidDefinition: if a part is ``.`` or ``..``, is empty, or holds a control character.
    """
    parts = path.strip("/").split("/") if path.strip("/") else []
    for part in parts:
        if part in ("", ".", "..") or any(ord(c) < 32 or ord(c) == 127 for c in part):
            raise InvalidDefinition(f"{location!r} is not a plain location: {part!r} in its path")
    return parts


def is_within(location: str, prefix: str) -> bool:
    """Whether ``location`` is ``prefix`` or lies under it, by their text alone."""
    inner, outer = without_scheme(location), without_scheme(prefix).rstrip("/")
    return inner.rstrip("/") == outer or inner.startswith(outer + "/")
