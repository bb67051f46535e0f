"""Latency: a trivial governed query, and commits of one row."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable

from bench.report import Report, median, ms, share
from bench.server import Server

READS = 300
WRITES = 60
WRITERS = 8
ROWS_EACH = 100


def run(server: Server, options: argparse.Namespace) -> Report:
    """One client, one statement after another."""
    with server.admin() as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS latency")
        db.execute("CREATE OR REPLACE TABLE latency.t AS SELECT i AS id FROM range(1000) r(i)")
        db.execute("CREATE OR REPLACE TABLE latency.w (id BIGINT, note VARCHAR)")
    reader = server.reader("latency_reader", "USAGE ON SCHEMA latency", "SELECT ON SCHEMA latency")
    report = Report("Latency, one client", ("statement", "p50", "p90"))
    trivial = _times(lambda: reader.arrow("SELECT 1"), READS)
    point = _times(lambda: reader.arrow("SELECT id FROM latency.t WHERE id = 42"), READS)
    alone = [value / 1000 for value in _engine_alone(server, READS)]
    with server.admin() as db:
        writes = _times(lambda: db.execute("INSERT INTO latency.w VALUES (1, 'x')"), WRITES)
    report.rows.append(("SELECT 1, governed, over HTTP", *_row(trivial)))
    report.rows.append(("point query on a lake table, governed, over HTTP", *_row(point)))
    report.rows.append(("the same in the engine alone", *_row(alone)))
    report.rows.append(("INSERT of one row, committed, over HTTP", *_row(writes)))
    overhead = median(point) - median(alone)
    report.remarks.append(
        f"all of Lakehold (HTTP, authentication, policy, ledger) adds {ms(overhead)} to the "
        "engine's own time of the point query"
    )
    reader.close()
    return report


def run_writers(server: Server, options: argparse.Namespace) -> Report:
    """Concurrent writers of one table: no conflict is ever seen, no row lost."""
    with server.admin() as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS latency")
        db.execute("CREATE OR REPLACE TABLE latency.many (writer INTEGER, n INTEGER)")
    times: list[float] = []

    def write(writer: int) -> None:
        with server.admin() as db:
            for number in range(ROWS_EACH):
                began = time.perf_counter()
                db.execute("INSERT INTO latency.many VALUES (?, ?)", [writer, number])
                times.append(time.perf_counter() - began)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took_s = time.perf_counter() - began
    with server.admin() as db:
        row = db.execute(
            "SELECT count(*), count(DISTINCT (writer, n)) FROM latency.many"
        ).fetchone()
    assert row is not None
    report = Report(
        f"{WRITERS} writers × {ROWS_EACH} one-row inserts into one table",
        ("rows there", "distinct", "commits/s", "p50", "p99"),
    )
    report.rows.append(
        (
            f"{row[0]:,}",
            f"{row[1]:,}",
            f"{WRITERS * ROWS_EACH / took_s:,.0f}",
            ms(median(times)),
            ms(share(times, 0.99)),
        )
    )
    return report


def _times(call: Callable[[], object], count: int) -> list[float]:
    for _ in range(5):
        call()
    found = []
    for _ in range(count):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def _row(times: list[float]) -> tuple[str, str]:
    return ms(median(times)), ms(share(times, 0.9))


def _engine_alone(server: Server, count: int) -> list[float]:
    """Milliseconds of the point query in a DuckDB of the same settings, without Lakehold."""
    from pathlib import Path

    from lakehold.engines.duckdb import DuckDBEngine, EngineLimits

    warehouse = server.folder / "data" / "warehouse"
    newest = max(warehouse.glob("latency/t-*/metadata/*.metadata.json"), key=_modified)
    engine = DuckDBEngine(
        EngineLimits(statements=2), temporary=Path(server.folder), allowed=[str(warehouse)]
    )
    engine.lock()
    sql = f"SELECT id FROM (SELECT id FROM iceberg_scan('{newest}')) t WHERE id = 42"
    times = _times(lambda: engine.run(sql).start().rows(), count)
    engine.close()
    return [value * 1000 for value in times]


def _modified(path: object) -> float:
    from pathlib import Path

    assert isinstance(path, Path)
    return path.stat().st_mtime
