"""Sail and Apache Spark on the same TPC-H queries and files, for the table.

Sail comes from PyPI and speaks Spark Connect. Apache Spark needs Java and an environment of
its own (``make judges`` makes it); without it, its column says so.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "spark_program.py"
JUDGES = Path(__file__).parent.parent / ".venv-judges" / "bin" / "python"
TIMEOUT_S = 1200


def sail(folder: Path, rounds: int) -> dict[int, float]:
    """Median seconds of each query by number, with Sail in a process of its own."""
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    address = server.listening_address
    assert address is not None
    try:
        return _run(sys.executable, folder, rounds, f"sc://127.0.0.1:{address[1]}")
    finally:
        server.stop()


def apache(folder: Path, rounds: int) -> dict[int, float]:
    """The same with Apache Spark, local mode; empty without its environment."""
    if not JUDGES.exists():
        return {}
    return _run(str(JUDGES), folder, rounds, "local[*]")


def _run(python: str, folder: Path, rounds: int, master: str) -> dict[int, float]:
    from bench.tpch import queries

    texts = json.dumps([portable(text) for text in queries()])
    done = subprocess.run(  # noqa: PLW1510 - its output tells
        [python, str(PROGRAM), str(folder), str(rounds), master],
        input=texts,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "PYTHONPATH": ""},
    )
    found = {}
    for line in done.stdout.splitlines():
        if line.startswith("{"):
            answer = json.loads(line)
            if "seconds" in answer:
                found[int(answer["query"])] = float(answer["seconds"])
            else:
                print(f"  {master} Q{answer['query']}: {answer['error']}", file=sys.stderr)
    if not found:
        print(done.stderr[-2000:], file=sys.stderr)
    return found


def portable(text: str) -> str:
    """A query of DuckDB's generator as Spark reads it."""
    text = text.replace(";", "")
    text = re.sub(r"CAST\('([0-9-]+)' AS date\)", r"DATE '\1'", text)
    return re.sub(r"revenue \(supplier_no, total_revenue\)", "revenue", text)
