"""Fixtures: platforms as processes."""

from __future__ import annotations

import pytest

from platform_process import PlatformProcess
from serving import admin_token, analyst_token, http, schema

__all__ = ["admin_token", "analyst_token", "http", "schema"]


@pytest.fixture
def make_platform(server_folder):
    """Make platforms that are cleared away after the test."""
    made = []

    def make(name="lake", **settings):
        made.append(PlatformProcess(server_folder / name, **settings))
        return made[-1]

    yield make
    for platform in made:
        platform.clear()
