"""Fixtures of the judges: engines that are too heavy for every run."""

from __future__ import annotations

from lake_server import lake

__all__ = ["lake"]
