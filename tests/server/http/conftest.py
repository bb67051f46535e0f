"""A served platform, and ways to talk to it."""

from __future__ import annotations

from serving import admin_token, analyst_token, http, schema  # noqa: F401 - fixtures
