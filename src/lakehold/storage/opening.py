"""Choosing an object store by the warehouse's location."""

from __future__ import annotations

from lakehold.errors import ConfigurationInvalid
from lakehold.storage.local import LocalStore
from lakehold.storage.location import FILE_SCHEME, S3_SCHEME
from lakehold.storage.s3 import S3Credentials, S3Store
from lakehold.storage.store import ObjectStore


def open_store(warehouse: str, *, s3: S3Credentials | None = None) -> ObjectStore:
    """The store of a warehouse: ``/abs/path``, ``file:///abs/path`` or ``s3://bucket/prefix``.

    A local folder is made if it is not there; a bucket must be.

    Raises:
        ConfigurationInvalid: if the location is of another kind.
        StorageFailed: if the folder cannot be made.
    """
    if warehouse.startswith(S3_SCHEME):
        return S3Store(warehouse, s3 or S3Credentials())
    if warehouse.startswith(("/", FILE_SCHEME + "/")):
        return LocalStore(warehouse)
    raise ConfigurationInvalid(
        f"{warehouse!r} is not a warehouse",
        hint="give an absolute path, a file:///… URL, or s3://bucket/prefix",
    )
