"""The composition root: the one place where parts are chosen and wired."""

from __future__ import annotations

from lakehold.app.diagnosis import Finding, diagnose
from lakehold.app.embedded import open_embedded
from lakehold.app.platform import Platform, folder_holder, migrate_only

__all__ = ["Finding", "Platform", "diagnose", "folder_holder", "migrate_only", "open_embedded"]
