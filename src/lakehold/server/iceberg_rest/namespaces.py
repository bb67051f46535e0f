"""Routes of namespaces."""

from __future__ import annotations

from lakehold.errors import InvalidRequest
from lakehold.server.iceberg_rest.errors import Unprocessable
from lakehold.server.iceberg_rest.requests import (
    NAMESPACE_SEPARATOR,
    Answer,
    Request,
    checked,
    dotted,
    optional,
    page,
    required,
    texts,
)


def list_namespaces(request: Request) -> Answer:
    parent = request.query.get("parent")
    above = dotted(parent.split(NAMESPACE_SEPARATOR)) if parent else None
    found, token = page(request, request.catalog.namespaces.names(above), str.lower)
    return Answer(
        body={"namespaces": [name.split(".") for name in found], "next-page-token": token}
    )


def create_namespace(request: Request) -> Answer:
    body = request.json()
    name = dotted(required(body, "namespace", list))
    schema = request.catalog.namespaces.create(name, texts(body, "properties"))
    return Answer(body={"namespace": schema.name.split("."), "properties": dict(schema.properties)})


def load_namespace(request: Request) -> Answer:
    schema = request.catalog.namespaces.load(request.namespace)
    return Answer(body={"namespace": schema.name.split("."), "properties": dict(schema.properties)})


def namespace_exists(request: Request) -> Answer:
    request.catalog.namespaces.load(request.namespace)
    return Answer(204)


def drop_namespace(request: Request) -> Answer:
    request.catalog.namespaces.drop(request.namespace)
    return Answer(204)


def update_properties(request: Request) -> Answer:
    body = request.json()
    updates = texts(body, "updates")
    removals = [checked(key, "property") for key in optional(body, "removals", list) or []]
    if len(set(removals)) < len(removals):
        raise InvalidRequest("removals names a property twice")
    both = sorted(set(removals) & updates.keys())
    if both:
        raise Unprocessable(f"to be set and removed at once: {', '.join(both)}")
    updated, removed, missing = request.catalog.namespaces.update_properties(
        request.namespace, removals, updates
    )
    return Answer(body={"updated": updated, "removed": removed, "missing": missing})
