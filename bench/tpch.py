"""TPC-H, all 22 queries: through the gateway, against the same DuckDB on bare Parquet files.

The governed side is what a user gets: HTTP, a non-admin whose every table goes through the
rewriter, Arrow back. The bare side is DuckDB in this process over ``read_parquet`` of the
same rows, without any platform. The two take turns, query by query.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import duckdb
import pyarrow.parquet

from bench import spark
from bench.report import Report, median, ms, ratio
from bench.server import Server
from lakehold.engines.duckdb import extension_path

TABLES = ("region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem")


def generate(folder: Path, scale: float) -> None:
    """The data as Parquet, one file a table, by DuckDB's own generator."""
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as maker:
        maker.execute(f"LOAD '{extension_path('tpch')}'")
        maker.execute(f"CALL dbgen(sf = {scale})")
        for table in TABLES:
            maker.execute(f"COPY {table} TO '{folder / table}.parquet'")


def queries() -> list[str]:
    """The 22 queries."""
    with duckdb.connect() as maker:
        maker.execute(f"LOAD '{extension_path('tpch')}'")
        return [row[0] for row in maker.execute("SELECT query FROM tpch_queries()").fetchall()]


def bare(folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB over the files."""
    connection = duckdb.connect()
    for table in TABLES:
        connection.execute(
            f"CREATE VIEW {table} AS SELECT * FROM read_parquet('{folder / table}.parquet')"
        )
    return connection


def load(server: Server, folder: Path) -> None:
    """The same files into the platform."""
    with server.admin() as db:
        db.execute("CREATE SCHEMA IF NOT EXISTS tpch")
        for table in TABLES:
            file = pyarrow.parquet.ParquetFile(folder / f"{table}.parquet")
            reader = pyarrow.RecordBatchReader.from_batches(
                file.schema_arrow, file.iter_batches(batch_size=122_880)
            )
            db.load(f"tpch.{table}", reader, mode="create")


def run(server: Server, options: argparse.Namespace) -> Report:
    """The benchmark."""
    folder = server.folder / "tpch"
    generate(folder, options.scale)
    load(server, folder)
    analyst = server.reader("tpch_reader", "USAGE ON SCHEMA tpch", "SELECT ON SCHEMA tpch")
    analyst.execute("USE tpch")
    peer = bare(folder)
    report = Report(
        f"TPC-H, scale factor {options.scale:g}",
        (
            "query",
            "Lakehold, governed, over HTTP",
            "DuckDB on bare Parquet",
            "ratio",
            "Sail",
            "Apache Spark",
        ),
    )
    sail = spark.sail(folder, min(options.rounds, 3))
    apache = spark.apache(folder, min(options.rounds, 3))
    governed_total = bare_total = 0.0
    for number, text in enumerate(queries(), start=1):
        governed, alone = [], []
        for turn in range(options.rounds + 1):
            began = time.perf_counter()
            answer = analyst.arrow(text)
            middle = time.perf_counter()
            expected = peer.execute(text).to_arrow_table()
            ended = time.perf_counter()
            if turn:
                governed.append(middle - began)
                alone.append(ended - middle)
        if answer.num_rows != expected.num_rows:
            raise AssertionError(f"query {number}: {answer.num_rows} != {expected.num_rows} rows")
        one, other = median(governed), median(alone)
        governed_total += one
        bare_total += other
        others = tuple(ms(found[number]) if number in found else "–" for found in (sail, apache))
        report.rows.append((f"Q{number}", ms(one), ms(other), ratio(one, other), *others))
    total = ratio(governed_total, bare_total)
    totals = tuple(ms(sum(found.values())) if len(found) == 22 else "–" for found in (sail, apache))
    report.rows.append(("**total**", ms(governed_total), ms(bare_total), f"**{total}**", *totals))
    report.remarks.append(
        f"medians of {options.rounds} runs after one warm-up; Lakehold and bare DuckDB take turns"
    )
    report.remarks.append(
        "Sail and Apache Spark read the same bare Parquet files, each alone, medians of "
        f"{min(options.rounds, 3)}; without make judges' environment Spark is left out"
    )
    analyst.close()
    peer.close()
    return report
