"""Fixtures for tests over HTTP: tokens, an HTTP client, a schema for each test."""

from __future__ import annotations

import itertools
import time

import httpx
import pytest

from lakehold.client import connect

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def admin_token(platform):
    """A token of the administrator."""
    access = platform.parts.access
    return access.create_token("admin", name="tests", expires_in=None, by=access.principal("admin"))


@pytest.fixture(scope="session")
def analyst_token(platform, admin_token):
    """A token of somebody without any grant."""
    with connect(platform.url, admin_token) as db:
        db.execute("CREATE USER http_analyst")
    access = platform.parts.access
    return access.create_token(
        "http_analyst", name="tests", expires_in=None, by=access.principal("admin")
    )


@pytest.fixture
def http(platform, admin_token):
    """An HTTP client of the administrator."""
    headers = {"Authorization": f"Bearer {admin_token}"}
    with httpx.Client(base_url=platform.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def schema(platform, admin_token):
    """A schema for this test alone."""
    name = f"http_{next(_numbers)}"
    with connect(platform.url, admin_token) as db:
        db.execute(f"CREATE SCHEMA {name}")
    return name


def eventually(check, within_s=10.0):
    """Wait until ``check()`` is true."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        if check():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {within_s} s")
