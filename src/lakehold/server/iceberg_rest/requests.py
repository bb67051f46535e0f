"""Requests of the REST catalog: names in paths, bodies, pages."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import msgspec

from lakehold.errors import InvalidName, InvalidRequest
from lakehold.names import TableName, check_name
from lakehold.query.governed_catalog import GovernedCatalog
from lakehold.server.iceberg_rest.storage import StorageOffer

Json: TypeAlias = dict[str, Any]

NAMESPACE_SEPARATOR = "\x1f"
"""Between the levels of a namespace in a path (``%1F``)."""

PAGE_SIZE_DEFAULT = 1_000
PAGE_SIZE_MAX = 10_000
NAMESPACE_LEVELS_MAX = 32
PROPERTIES_MAX = 1_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read.

    Attributes:
        names: what the path's placeholders stand for, percent-decoded.
        query: the first value of each query parameter.
        headers: by lower-case name.
    """

    catalog: GovernedCatalog
    storage: StorageOffer
    names: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def namespace(self) -> str:
        """The namespace that the path names, dotted."""
        return dotted(self.names["namespace"].split(NAMESPACE_SEPARATOR))

    def table(self, placeholder: str = "table") -> TableName:
        """The table or view that the path names."""
        return TableName(self.namespace, checked(self.names[placeholder], "name"))

    def json(self) -> Json:
        """The body as a JSON object.

        Raises:
            InvalidRequest: if it is anything else.
        """
        try:
            return msgspec.json.decode(self.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest(f"the body is not a JSON object: {error}") from None

    def flag(self, name: str) -> bool:
        """A query parameter that is ``true`` or ``false``, which is the default."""
        value = self.query.get(name, "false").lower()
        if value not in ("true", "false"):
            raise InvalidRequest(f"{name} is true or false, not {value!r}")
        return value == "true"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response: status, JSON body if any, further headers."""

    status: int = 200
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)


def dotted(levels: object) -> str:
    """The dotted name of a namespace.

    Raises:
        InvalidRequest: if a level is empty, holds a dot, or is no text.
    """
    if not isinstance(levels, list) or not 0 < len(levels) <= NAMESPACE_LEVELS_MAX:
        raise InvalidRequest(f"a namespace has 1 to {NAMESPACE_LEVELS_MAX} levels")
    for level in levels:
        checked(level, "level of a namespace")
        if "." in level:
            raise InvalidName(f"a level of a namespace cannot hold a dot: {level!r}")
    return ".".join(levels)


def checked(name: object, what: str) -> str:
    """A name that can name something."""
    if not isinstance(name, str):
        raise InvalidRequest(f"a {what} must be text")
    return check_name(name, what)


def identifier(value: object) -> TableName:
    """A ``TableIdentifier``."""
    if not isinstance(value, dict):
        raise InvalidRequest('an identifier is {"namespace": [...], "name": "..."}')
    return TableName(dotted(value.get("namespace")), checked(value.get("name"), "name"))


def as_identifier(name: TableName) -> Json:
    """A ``TableIdentifier``."""
    return {"namespace": list(name.namespace), "name": name.table}


def as_metadata(metadata: Json) -> Json:
    """Metadata as the specification writes it: what has no value is left out."""
    return {key: value for key, value in metadata.items() if value is not None}


def required(body: Json, key: str, kind: type[Item]) -> Item:
    """A member that must be there.

    Raises:
        InvalidRequest: if it is missing or of another type.
    """
    value = body.get(key)
    if not isinstance(value, kind):
        shown = {"dict": "an object", "list": "a list", "str": "text"}[kind.__name__]
        raise InvalidRequest(f"{key} must be {shown}")
    return value


def optional(body: Json, key: str, kind: type[Item]) -> Item | None:
    """A member that may be missing or null."""
    return None if body.get(key) is None else required(body, key, kind)


def objects(body: Json, key: str) -> list[Json]:
    """A list of objects; missing is empty."""
    value: list[Any] = optional(body, key, list) or []
    if not all(isinstance(item, dict) for item in value):
        raise InvalidRequest(f"{key} must be a list of objects")
    return value


def texts(body: Json, key: str) -> dict[str, str]:
    """An object whose values are text; missing is empty."""
    value: dict[Any, Any] = optional(body, key, dict) or {}
    if not all(isinstance(item, str) for item in value.values()):
        raise InvalidRequest(f"the values of {key} must be text")
    if len(value) > PROPERTIES_MAX:
        raise InvalidRequest(f"{key} has at most {PROPERTIES_MAX} members")
    return value


def page(
    request: Request, items: Sequence[Item], key: Callable[[Item], str]
) -> tuple[Sequence[Item], str | None]:
    """The page of a sorted list that the request asks for, and the token of the next one.

    A client that sends no ``pageToken`` does not know of pages and gets everything. A token
    holds the last key given, so that a page is right even when things came and went meanwhile.
    """
    token = request.query.get("pageToken")
    if token is None:
        return items, None
    size = _page_size(request.query.get("pageSize"))
    if token:
        last = _decode_token(token)
        items = [item for item in items if key(item) > last]
    if len(items) <= size:
        return items, None
    items = items[:size]
    return items, base64.urlsafe_b64encode(key(items[-1]).encode()).decode()


def _page_size(text: str | None) -> int:
    if text is None or text == "":
        return PAGE_SIZE_DEFAULT
    if not text.isascii() or not text.isdigit() or int(text[:10]) < 1:
        raise InvalidRequest("pageSize is a positive number")
    return min(int(text[:10]), PAGE_SIZE_MAX)


def _decode_token(token: str) -> str:
    try:
        return base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidRequest("the pageToken is not one of ours") from None
