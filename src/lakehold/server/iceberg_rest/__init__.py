"""The Iceberg REST catalog over HTTP (Apache Iceberg: open-api/rest-catalog-open-api.yaml)."""

from __future__ import annotations

from lakehold.server.iceberg_rest.application import iceberg_routes
from lakehold.server.iceberg_rest.storage import StorageOffer

__all__ = ["StorageOffer", "iceberg_routes"]
