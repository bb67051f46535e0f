"""Runs the 22 queries with Spark (Connect or local): ``spark_program.py FOLDER ROUNDS MASTER``.

Reads the queries as a JSON list from standard input; prints one JSON object a query.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession


def main() -> None:
    folder, rounds, master = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    if master.startswith("sc://"):
        spark = SparkSession.builder.remote(master).getOrCreate()
    else:
        spark = (
            SparkSession.builder.master(master)
            .config("spark.ui.enabled", "false")
            .config("spark.driver.memory", "8g")
            .config("spark.sql.shuffle.partitions", "4")
            .getOrCreate()
        )
    for file in sorted(folder.glob("*.parquet")):
        spark.read.parquet(str(file)).createOrReplaceTempView(file.stem)
    for number, text in enumerate(json.load(sys.stdin), start=1):
        times = []
        try:
            for turn in range(rounds + 1):
                began = time.perf_counter()
                spark.sql(text).collect()
                if turn:
                    times.append(time.perf_counter() - began)
        except Exception as error:
            print(json.dumps({"query": number, "error": str(error)[:300]}), flush=True)
            continue
        print(json.dumps({"query": number, "seconds": statistics.median(times)}), flush=True)
    spark.stop()


if __name__ == "__main__":
    main()
