"""The object store: where Parquet, metadata and files are kept."""

from lakehold.storage.local import LocalStore
from lakehold.storage.location import is_within, join, local_path, without_scheme
from lakehold.storage.opening import open_store
from lakehold.storage.s3 import S3Credentials, S3Store
from lakehold.storage.store import ObjectInfo, ObjectStore

__all__ = [
    "LocalStore",
    "ObjectInfo",
    "ObjectStore",
    "S3Credentials",
    "S3Store",
    "is_within",
    "join",
    "local_path",
    "open_store",
    "without_scheme",
]
