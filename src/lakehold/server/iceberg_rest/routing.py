"""The routes of the REST catalog: the one list that is served and that clients are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from lakehold.errors import InvalidRequest, MethodNotAllowed, UndefinedObject
from lakehold.names import CATALOG
from lakehold.server.iceberg_rest import namespaces, tables, views
from lakehold.server.iceberg_rest.errors import Resource
from lakehold.server.iceberg_rest.requests import Answer, Request

Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path, and what serves it.

    Attributes:
        path: as in the specification, with ``{placeholders}``.
        resource: what a 404 says is missing.
    """

    method: str
    path: str
    handler: Handler
    resource: Resource = "table"

    def match(self, parts: list[str]) -> Mapping[str, str] | None:
        """The placeholders' values, if the path fits."""
        wanted = self.path.split("/")[3:]
        if len(wanted) != len(parts):
            return None
        names = {}
        for expected, part in zip(wanted, parts, strict=True):
            if expected.startswith("{"):
                names[expected[1:-1]] = part
            elif expected != part:
                return None
        return names


_NAMESPACES = "/v1/{prefix}/namespaces"
_NAMESPACE = "/v1/{prefix}/namespaces/{namespace}"
_TABLE = "/v1/{prefix}/namespaces/{namespace}/tables/{table}"
_VIEW = "/v1/{prefix}/namespaces/{namespace}/views/{view}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _NAMESPACES, namespaces.list_namespaces, "namespace"),
    Route("POST", _NAMESPACES, namespaces.create_namespace, "namespace"),
    Route("GET", _NAMESPACE, namespaces.load_namespace, "namespace"),
    Route("HEAD", _NAMESPACE, namespaces.namespace_exists, "namespace"),
    Route("DELETE", _NAMESPACE, namespaces.drop_namespace, "namespace"),
    Route("POST", f"{_NAMESPACE}/properties", namespaces.update_properties, "namespace"),
    Route("GET", f"{_NAMESPACE}/tables", tables.list_tables),
    Route("POST", f"{_NAMESPACE}/tables", tables.create_table),
    Route("POST", f"{_NAMESPACE}/register", tables.register_table),
    Route("GET", _TABLE, tables.load_table),
    Route("HEAD", _TABLE, tables.table_exists),
    Route("POST", _TABLE, tables.commit_table),
    Route("DELETE", _TABLE, tables.drop_table),
    Route("GET", f"{_TABLE}/credentials", tables.load_credentials),
    Route("POST", f"{_TABLE}/metrics", tables.report_metrics),
    Route("POST", "/v1/{prefix}/tables/rename", tables.rename_table),
    Route("POST", "/v1/{prefix}/transactions/commit", tables.commit_transaction),
    Route("GET", f"{_NAMESPACE}/views", views.list_views, "view"),
    Route("POST", f"{_NAMESPACE}/views", views.create_view, "view"),
    Route("GET", _VIEW, views.load_view, "view"),
    Route("HEAD", _VIEW, views.view_exists, "view"),
    Route("POST", _VIEW, views.commit_view, "view"),
    Route("DELETE", _VIEW, views.drop_view, "view"),
    Route("POST", "/v1/{prefix}/views/rename", views.rename_view, "view"),
)

ENDPOINTS = tuple(f"{route.method} {route.path}" for route in ROUTES)
"""What ``GET /v1/config`` says is served."""


def split_path(raw: bytes, root: str) -> list[str]:
    """The parts of a path below ``/v1``, each percent-decoded by itself.

    So a name may hold any character, a slash among them.

    Raises:
        UndefinedObject: if the path is not below ``/v1``.
    """
    text = raw.decode("ascii", "replace").partition("?")[0]
    parts = text.removeprefix(root).strip("/").split("/")
    if parts[0] != "v1":
        raise UndefinedObject("there is nothing at this path; the catalog is at /iceberg/v1")
    try:
        return [unquote(part, errors="strict") for part in parts[1:]]
    except UnicodeDecodeError:
        raise InvalidRequest("the path is not UTF-8") from None


def find_route(method: str, parts: list[str]) -> tuple[Route, Mapping[str, str]]:
    """The route of a request. The prefix, the catalog's name, may be left out.

    Raises:
        UndefinedObject: if no route has the path.
        MethodNotAllowed: if one has, with another method.
    """
    if parts and parts[0] == CATALOG:
        parts = parts[1:]
    others = False
    for route in ROUTES:
        names = route.match(parts)
        if names is not None:
            if route.method == method:
                return route, names
            others = True
    if others:
        raise MethodNotAllowed("this path has no such method; see GET /v1/config")
    raise UndefinedObject("there is nothing at this path; see GET /v1/config")
