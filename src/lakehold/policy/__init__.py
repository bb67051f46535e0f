"""Policy, pure: facts in, decisions out. It fetches nothing (design contract 1)."""

from __future__ import annotations

from lakehold.policy.decision import COLUMN_PRIVILEGES, Decision, decide, may_grant, visible
from lakehold.policy.facts import (
    SYSTEM_SCHEMA_ID,
    Facts,
    Grant,
    ObjectKind,
    Privilege,
    Target,
)

__all__ = [
    "COLUMN_PRIVILEGES",
    "SYSTEM_SCHEMA_ID",
    "Decision",
    "Facts",
    "Grant",
    "ObjectKind",
    "Privilege",
    "Target",
    "decide",
    "may_grant",
    "visible",
]
