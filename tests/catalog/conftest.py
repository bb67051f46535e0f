"""A catalog of its own for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehold.catalog import Catalog
from lakehold.clock import system_clock
from lakehold.state import Database
from lakehold.storage import ObjectStore, open_store


@pytest.fixture
def store(warehouse: Path) -> ObjectStore:
    return open_store(str(warehouse))


@pytest.fixture
def catalog(database: Database, store: ObjectStore) -> Catalog:
    return Catalog(database, store, clock=system_clock)
