"""Routes of views."""

from __future__ import annotations

from lakehold.names import TableName
from lakehold.query.governed_catalog import LoadedView
from lakehold.server.iceberg_rest.requests import (
    Answer,
    Request,
    as_identifier,
    as_metadata,
    checked,
    identifier,
    objects,
    page,
    required,
    texts,
)


def list_views(request: Request) -> Answer:
    found = request.catalog.views.names(request.namespace)
    names, token = page(request, found, lambda name: name.table.lower())
    return Answer(
        body={"identifiers": [as_identifier(name) for name in names], "next-page-token": token}
    )


def create_view(request: Request) -> Answer:
    body = request.json()
    name = TableName(request.namespace, checked(body.get("name"), "name"))
    view = request.catalog.views.create(
        name,
        required(body, "schema", dict),
        required(body, "view-version", dict),
        texts(body, "properties"),
    )
    return _loaded(view)


def load_view(request: Request) -> Answer:
    return _loaded(request.catalog.views.load(request.table("view")))


def view_exists(request: Request) -> Answer:
    request.catalog.views.exists(request.table("view"))
    return Answer(204)


def commit_view(request: Request) -> Answer:
    body = request.json()
    view = request.catalog.views.commit(
        request.table("view"), objects(body, "requirements"), objects(body, "updates")
    )
    return _loaded(view)


def drop_view(request: Request) -> Answer:
    request.catalog.views.drop(request.table("view"))
    return Answer(204)


def rename_view(request: Request) -> Answer:
    body = request.json()
    request.catalog.views.rename(
        identifier(body.get("source")), identifier(body.get("destination"))
    )
    return Answer(204)


def _loaded(view: LoadedView) -> Answer:
    """A ``LoadViewResult``."""
    return Answer(
        body={
            "metadata-location": view.metadata_location,
            "metadata": as_metadata(view.metadata),
            "config": {},
        }
    )
