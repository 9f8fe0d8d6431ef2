"""Benchmarks: commands, never timed tests. `./kielto bench NAME --json FILE`."""
