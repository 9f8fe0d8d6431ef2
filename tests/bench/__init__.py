"""Benchmarks: commands, never timed tests. `./kielto bench NAME --json FILE`."""

from tests.bench.command import main

__all__ = ["main"]
