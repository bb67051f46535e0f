"""A ledger on a fresh database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from audit.statements import KEY
from lakehold.audit import Ledger
from lakehold.clock import system_clock
from lakehold.state import Database


@pytest.fixture
def checkpoint_file(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "checkpoints.jsonl"


@pytest.fixture
def make_ledger(database: Database, checkpoint_file: Path) -> Iterator[Callable[..., Ledger]]:
    """Makes ledgers on the test's database, as several platforms would."""
    made: list[Ledger] = []

    def make(**options: Any) -> Ledger:
        settings: dict[str, Any] = {"checkpoints": checkpoint_file} | options
        made.append(Ledger(database, system_clock, KEY, **settings))
        return made[-1]

    yield make
    for ledger in made:
        ledger.stop()


@pytest.fixture
def ledger(make_ledger: Callable[..., Ledger]) -> Ledger:
    return make_ledger()
