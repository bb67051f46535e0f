"""A large result over HTTP as Arrow: rows, bytes and the server's memory."""

from __future__ import annotations

import argparse
import time

from bench.report import Report
from bench.server import Server

ROWS = 10_000_000


def run(server: Server, options: argparse.Namespace) -> Report:
    """10 M rows of a lake table, read as a stream."""
    with server.admin() as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS streaming")
        db.execute(
            f"CREATE OR REPLACE TABLE streaming.t AS SELECT i AS id, i * 2 AS twice, "
            f"(i % 1000)::DOUBLE AS part, i % 7 AS weekday FROM range({ROWS}) r(i)"
        )
    reader = server.reader(
        "stream_reader", "USAGE ON SCHEMA streaming", "SELECT ON SCHEMA streaming"
    )
    list(reader.batches("SELECT * FROM streaming.t LIMIT 1000000"))
    report = Report(
        f"{ROWS:,} rows over HTTP as Arrow",
        ("run", "GB/s", "million rows/s", "growth of the server's memory"),
    )
    for number in range(1, 4):
        before, highest, rows, size = server.memory_bytes, 0, 0, 0
        began = time.perf_counter()
        for batch in reader.batches("SELECT * FROM streaming.t"):
            rows += batch.num_rows
            size += batch.nbytes
            highest = max(highest, server.memory_bytes)
        took_s = time.perf_counter() - began
        if rows != ROWS:
            raise AssertionError(f"{rows:,} rows came, not {ROWS:,}")
        growth = max(highest - before, 0) / 1e6
        speed, million = size / took_s / 1e9, rows / took_s / 1e6
        report.rows.append((str(number), f"{speed:.2f}", f"{million:.1f}", f"{growth:,.0f} MB"))
    reader.close()
    return report
