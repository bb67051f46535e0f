"""A schema for each test file, with somebody who may do everything in it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from actors import Actor, administrator
from lakehold.app import Platform

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def admin(platform: Platform) -> Iterator[Actor]:
    """The administrator."""
    actor = administrator(platform)
    yield actor
    platform.gateway.close_session(actor.session.id)


@pytest.fixture(scope="module")
def schema(admin: Actor) -> str:
    """A schema for this file alone."""
    name = f"query_{next(_numbers)}"
    admin.run(f"CREATE SCHEMA {name}")
    return name
