"""./kielto bench NAME [--rounds N] [--customers N] [--json FILE]"""

import argparse
import importlib
import json
from pathlib import Path

from tests.bench import machine

NAMES = ("start", "propagation", "relay", "bootstrap", "check")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="kielto bench", description="Measure, and hold against the goals.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--rounds", type=int, default=5, help="rounds; the figures are medians (default 5)")
    parser.add_argument("--customers", type=int, help="so many, where a bench has customers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report there too")
    given = parser.parse_args(arguments)
    bench = importlib.import_module(f"tests.bench.{given.name}")
    figures: dict[str, float] = bench.measure(
        given.rounds, **({"count": given.customers} if given.customers else {})
    )
    goals: dict[str, float] = bench.GOALS
    at_least: dict[str, float] = getattr(bench, "AT_LEAST", {})
    met = {name: figures[name] <= goal for name, goal in goals.items()}
    met |= {name: figures.get(name, 0.0) >= goal for name, goal in at_least.items()}
    report = {
        "name": given.name,
        "machine": machine.describe(),
        "figures": figures,
        "goals": goals,
        "at_least": at_least,
        "met": all(met.values()),
    }
    for name, value in figures.items():
        goal = f"   goal: at most {goals[name]}" if name in goals else ""
        goal = f"   goal: at least {at_least[name]}" if name in at_least else goal
        print(f"{name:>24}  {value}{goal}")
    print("met" if report["met"] else "NOT met")
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if report["met"] else 1
