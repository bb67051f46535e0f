"""Protocol adapters. They decode requests and encode answers; they decide nothing."""

from __future__ import annotations

from lakehold.server.application import ServerParts, create_application
from lakehold.server.listener import Address, Listener

__all__ = ["Address", "Listener", "ServerParts", "create_application"]
