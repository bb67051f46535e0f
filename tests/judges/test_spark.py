"""Apache Spark with Iceberg's own runtime, against our catalog: ``make judges``."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lake_server import LakeServer

PYTHON = os.environ.get("LAKEHOLD_JUDGES_PYTHON")

pytestmark = [pytest.mark.judges, pytest.mark.timeout(600)]


def judge(lake: LakeServer, namespace: str, token: str) -> dict[str, Any]:
    """Run the program; returns its answers by name."""
    assert PYTHON is not None, "make judges sets LAKEHOLD_JUDGES_PYTHON"
    program = Path(__file__).parent / "spark_program.py"
    done = subprocess.run(
        [PYTHON, str(program), lake.iceberg, token, namespace],
        capture_output=True,
        text=True,
        timeout=580,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert answers, done.stderr[-4000:]
    return {answer["name"]: answer for answer in answers}


def test_spark_does_all_that_it_can(lake: LakeServer) -> None:
    namespace = lake.name("spark")
    lake.sql(f"CREATE SCHEMA {namespace}")
    lake.sql(f"CREATE TABLE {namespace}.from_sql (id INTEGER, name VARCHAR)")
    lake.sql(f"INSERT INTO {namespace}.from_sql VALUES (1, 'a'), (2, 'b')")
    lake.sql(f"DELETE FROM {namespace}.from_sql WHERE id = 1")
    answers = judge(lake, namespace, lake.admin_token)
    failed = {name: answer["error"] for name, answer in answers.items() if "error" in answer}
    assert not failed, json.dumps(failed, indent=1)
    assert answers["select"]["rows"] == [[1, "a"], [2, "b"], [3, "c"]]
    assert answers["after"]["rows"] == [[2, "bb", None], [3, "cc", None], [4, "d", None]]
    assert answers["replaced"]["rows"] == [[3], [4], [5]]
    assert answers["viewed"]["rows"] == [[3], [4]]
    assert answers["snapshots"]["rows"] == [[True]]
    assert answers["sql"]["rows"] == [[2, "b"]]
    assert lake.sql(f"SELECT id, name FROM {namespace}.t ORDER BY id") == [
        (2, "bb"),
        (3, "cc"),
        (4, "d"),
    ]


def test_spark_is_held_to_its_grants(lake: LakeServer) -> None:
    namespace = lake.name("spark")
    lake.sql(f"CREATE SCHEMA {namespace}")
    lake.sql(f"CREATE TABLE {namespace}.from_sql (id INTEGER, name VARCHAR)")
    token = lake.principal(f"USAGE ON SCHEMA {namespace}", f"SELECT ON TABLE {namespace}.from_sql")
    answers = judge(lake, namespace, token)
    assert answers["sql"]["rows"] == []
    for name in ("create", "insert", "ctas", "view"):
        assert "error" in answers[name]
