"""Fixtures of the REST catalog's tests."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from iceberg_openapi import OpenApi
from lake_server import LakeServer, lake

__all__ = ["lake"]


@pytest.fixture(scope="session")
def openapi() -> OpenApi:
    """The document that every response is checked against."""
    return OpenApi()


@pytest.fixture
def http(lake: LakeServer, openapi: OpenApi) -> Iterator[httpx.Client]:
    """An administrator's HTTP client, whose responses are checked against the document."""
    with checked(lake, openapi) as client:
        yield client


def checked(lake: LakeServer, openapi: OpenApi, token: str | None = None) -> httpx.Client:
    """A client whose responses are checked against the document."""
    client = lake.http(token)

    def check(response: httpx.Response) -> None:
        request = response.request
        openapi.check(request.method, str(request.url), response.status_code, response.read())

    client.event_hooks["response"].append(check)
    return client


@pytest.fixture
def namespace(lake: LakeServer, http: httpx.Client) -> str:
    """A namespace of the test's own."""
    name = lake.name("ns")
    assert http.post("namespaces", json={"namespace": [name]}).status_code == 200
    return name
