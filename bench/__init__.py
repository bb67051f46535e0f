"""Benchmarks: ratios against real peers, on the same machine and data, in one run."""
