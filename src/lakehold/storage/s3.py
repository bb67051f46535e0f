"""An S3 bucket, or a prefix in one, as an object store; requests by obstore."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore import exceptions
from obstore import store as obstore_stores

from lakehold.errors import (
    ConfigurationInvalid,
    InvalidDefinition,
    ObjectExists,
    ObjectMissing,
    StorageFailed,
)
from lakehold.storage.location import S3_SCHEME, is_within, segments
from lakehold.storage.store import ObjectInfo

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

REQUEST_TIMEOUT = timedelta(seconds=60)
"""One request to the store, from connecting to the last byte."""

RETRY_TIME = timedelta(seconds=20)
"""How long a request is tried again before the statement fails."""

DELETE_BATCH = 1000
"""Keys in one DeleteObjects request (S3's own limit)."""


@dataclass(frozen=True, slots=True)
class S3Credentials:
    """How to reach a bucket. What is ``None`` is found as AWS clients find it.

    Attributes:
        endpoint: such as ``http://127.0.0.1:8333``; ``None`` for AWS.
        path_style: ``endpoint/bucket/key`` instead of ``bucket.endpoint/key``.
    """

    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    region: str = "us-east-1"
    endpoint: str | None = None
    path_style: bool = True


class S3Store:
    """Objects under ``s3://bucket/prefix``."""

    def __init__(self, root: str, credentials: S3Credentials) -> None:
        bucket, _, prefix = root.removeprefix(S3_SCHEME).partition("/")
        if not bucket:
            raise ConfigurationInvalid(f"{root!r} names no bucket", hint="s3://bucket/prefix")
        segments(prefix, root)
        self._bucket = bucket
        self._root = root.rstrip("/")
        self._store = obstore_stores.S3Store(
            bucket,
            config=_config(credentials),
            client_options=_client_options(credentials),
            retry_config=_retry_config(),
        )

    @property
    def root(self) -> str:
        return self._root

    def check(self, location: str) -> str:
        self._key(location)
        return location

    def read(self, location: str) -> bytes:
        with _storage_errors("read", location):
            return bytes(obstore.get(self._store, self._key(location)).bytes())

    def write(self, location: str, data: bytes, *, overwrite: bool = False) -> None:
        key = self._key(location)
        with _storage_errors("write", location):
            obstore.put(self._store, key, data, mode="overwrite" if overwrite else "create")

    def delete(self, location: str) -> None:
        key = self._key(location)
        with _storage_errors("delete", location), contextlib.suppress(FileNotFoundError):
            obstore.delete(self._store, key)

    def delete_under(self, prefix: str) -> int:
        if self._key(prefix) == self._key(self._root):
            raise InvalidDefinition("the whole warehouse cannot be deleted")
        keys = [self._key(item.location) for item in self.list(prefix)]
        with _storage_errors("delete", prefix):
            for start in range(0, len(keys), DELETE_BATCH):
                obstore.delete(self._store, keys[start : start + DELETE_BATCH])
        return len(keys)

    def exists(self, location: str) -> bool:
        key = self._key(location)
        with _storage_errors("look at", location):
            try:
                obstore.head(self._store, key)
            except FileNotFoundError:
                return False
            return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        key = self._key(prefix)
        with _storage_errors("list", prefix):
            for batch in obstore.list(self._store, prefix=key + "/" if key else None):
                for item in batch:
                    location = f"{S3_SCHEME}{self._bucket}/{item['path']}"
                    yield ObjectInfo(location, item["size"], item["last_modified"])

    def make_folder(self, location: str) -> None:
        self._key(location)

    def sync(self, locations: Collection[str]) -> None:
        for location in locations:
            self._key(location)

    @property
    def needs_sync(self) -> bool:
        return False

    def _key(self, location: str) -> str:
        """The key of a location, if it is under the root."""
        if not location.startswith(S3_SCHEME) or not is_within(location, self._root):
            raise InvalidDefinition(
                f"{location!r} is outside of the warehouse",
                hint="leave the location out, and the catalog chooses one",
            )
        path = location.removeprefix(S3_SCHEME)
        return "/".join(segments(path, location)[1:])


def _config(credentials: S3Credentials) -> S3Config:
    config: S3Config = {
        "region": credentials.region,
        "virtual_hosted_style_request": not credentials.path_style,
    }
    if credentials.endpoint is not None:
        config["endpoint"] = credentials.endpoint
    if credentials.access_key_id is not None and credentials.secret_access_key is not None:
        config["access_key_id"] = credentials.access_key_id
        config["secret_access_key"] = credentials.secret_access_key
    if credentials.session_token is not None:
        config["session_token"] = credentials.session_token
    return config


def _client_options(credentials: S3Credentials) -> ClientConfig:
    plain = credentials.endpoint is not None and credentials.endpoint.startswith("http://")
    return {
        "timeout": REQUEST_TIMEOUT,
        "connect_timeout": timedelta(seconds=5),
        "allow_http": plain,
    }


def _retry_config() -> RetryConfig:
    return {"max_retries": 5, "retry_timeout": RETRY_TIME}


@contextlib.contextmanager
def _storage_errors(action: str, location: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"there is nothing at {location!r}") from error
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
        raise ObjectExists(f"there is an object at {location!r} already") from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        raise StorageFailed(
            f"cannot {action} {location!r}: the store refused the credentials",
            hint="check the access key of the warehouse and what it may do",
        ) from error
    except (exceptions.BaseError, OSError) as error:
        raise StorageFailed(
            f"cannot {action} {location!r}: the object store failed",
            hint="check that the endpoint can be reached from here",
        ) from error
