"""Who there is: principals, roles, grants and tokens, in PostgreSQL."""

from __future__ import annotations

from lakehold.access.access import Access
from lakehold.access.store import GrantRow, TokenRow

__all__ = ["Access", "GrantRow", "TokenRow"]
