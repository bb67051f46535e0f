"""``python -m bench [NAME …] [--scale S] [--rounds N]``: run benchmarks, write the tables.

Each benchmark prints its table and writes it into ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from bench import latency, streaming, tpch
from bench.report import Report, write
from bench.server import Server, machine

BENCHMARKS: dict[str, Callable[[Server, argparse.Namespace], Report]] = {
    "tpch": tpch.run,
    "latency": latency.run,
    "writers": latency.run_writers,
    "streaming": streaming.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--scale", type=float, default=1.0, help="TPC-H scale factor")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each query")
    parser.add_argument("--no-write", action="store_true", help="do not write the docs")
    options = parser.parse_args()
    unknown = set(options.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    names = options.names or list(BENCHMARKS)
    print(machine())
    with Server() as server:
        for name in names:
            began = time.perf_counter()
            report = BENCHMARKS[name](server, options)
            print(f"\n{report.text()}\n({name}: {time.perf_counter() - began:.0f} s)")
            if not options.no_write:
                write(name, report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
