"""./kielto test faults: break everything around the product on a schedule, and see whether a promise breaks too.

Each seed runs fault -> heal -> quiesce -> check on real Kafka and PostgreSQL with every process killable. A failing
seed is run again with --scenario N --seed S.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import machine
from tests.faults.picture import draw
from tests.faults.run import FaultOutcome, Options, ScenarioRun, ScenarioSkippedError
from tests.faults.schedule import SCENARIOS, Scenario, stale_seconds


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    numbers = given.scenario or sorted(SCENARIOS)
    seeds = tuple(given.seed or range(1, given.seeds + 1))
    options = Options(seeds, given.decisions, given.factor)
    console = Console(width=max(Console().width, 110))
    console.print(
        f"scenarios {numbers}, seeds {list(seeds)}, {given.decisions} decisions a seed; times are scaled by "
        f"{given.factor:g}, a gate's N is {stale_seconds(given.factor):g} s"
    )
    folder = Path(tempfile.mkdtemp(prefix="kielto-faults-"))
    if given.pictures:
        given.pictures.mkdir(parents=True, exist_ok=True)
    outcomes: list[FaultOutcome] = []
    good = False
    skipped: dict[int, str] = {}

    def write() -> None:
        """After each seed: what stops a long run loses none of them."""
        if given.json:
            report = json.dumps(_report(outcomes, skipped, given), indent=2)
            given.json.write_text(report + "\n", encoding="utf-8")

    def keep(outcome: FaultOutcome) -> None:
        outcomes.append(outcome)
        write()

    try:
        for number in numbers:
            try:
                asyncio.run(_scenario(SCENARIOS[number], options, folder, given.pictures, console, keep))
            except ScenarioSkippedError as why:
                skipped[number] = str(why)
                write()
                console.print(f"scenario {number} SKIPPED: {why}")
        good, words = said(outcomes)
    finally:
        if not good:
            console.print(f"what the processes said: {_keep_logs(folder)}")
        if given.history:
            given.history.mkdir(parents=True, exist_ok=True)
            for file in folder.glob("*.jsonl"):
                shutil.copy(file, given.history)
        shutil.rmtree(folder, ignore_errors=True)
    _table(outcomes, console)
    console.print(words)
    return 0 if good else 1


def _keep_logs(folder: Path) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="kielto-faults-logs-"))
    for log in (*folder.glob("world-*/*.log"), *folder.glob("stack-*/*/*.log")):
        shutil.copy(log, kept / f"{log.parent.name}-{log.name}")
    return kept


async def _scenario(
    scenario: Scenario,
    options: Options,
    folder: Path,
    pictures: Path | None,
    console: Console,
    keep: Callable[[FaultOutcome], None],
) -> None:
    console.rule(f"scenario {scenario.number}: {scenario.title}")
    async for outcome in ScenarioRun(scenario, options, folder).seeds():
        keep(outcome)
        for fault in outcome.faults:
            console.print(f"  {fault}", style="dim", highlight=False)
        console.print(_line(outcome), highlight=False)
        for found in outcome.verdict.found[:10]:
            console.print(f"    {found}", style="red", highlight=False)
        if pictures is not None:
            title = f"scenario {scenario.number}, seed {outcome.seed}: {scenario.title}"
            draw(outcome.events, title, pictures / f"faults-{scenario.number}-{outcome.seed}.svg")


def _line(outcome: FaultOutcome) -> str:
    v = outcome.verdict
    verdict = "held  " if v.good else "BROKEN" if v.broken else "MISSED"
    return (
        f"seed {outcome.seed}: {verdict} {v.acknowledged} acknowledged, {v.refused} refused, "
        f"{v.unknown} unknown; lost {len(v.lost)}, unequal {len(v.unequal)}; asked {v.asked}, "
        f"yes {v.allowed}, late yes {len(v.late)}, "
        f"after the bound {len(v.breached)}, longest yes {v.longest_yes:.2f} s; at rest after {v.quiet_seconds:.1f} s; "
        f"{outcome.seconds:.0f} s in all"
    )


def said(outcomes: list[FaultOutcome]) -> tuple[bool, str]:
    """Whether all is good, and the last line."""
    if any(o.verdict.broken for o in outcomes):
        return False, "A PROMISE WAS BROKEN"
    if not outcomes or any(o.verdict.missed for o in outcomes):
        return False, "NOTHING IS SHOWN: a fault was not met, or no seed was run"
    return True, "every promise held"


def _table(outcomes: list[FaultOutcome], console: Console) -> None:
    table = Table(title="by scenario")
    for column in (
        "scenario",
        "seeds",
        "acknowledged",
        "lost",
        "unequal",
        "late yes",
        "after bound",
        "longest yes s",
    ):
        table.add_column(column, justify="left" if column == "scenario" else "right")
    for number in sorted({o.scenario.number for o in outcomes}):
        of = [o for o in outcomes if o.scenario.number == number]
        verdicts = [o.verdict for o in of]
        table.add_row(
            f"{number} {of[0].scenario.title}",
            str(len(of)),
            str(sum(v.acknowledged for v in verdicts)),
            str(sum(len(v.lost) for v in verdicts)),
            str(sum(len(v.unequal) for v in verdicts)),
            str(sum(len(v.late) for v in verdicts)),
            str(sum(len(v.breached) for v in verdicts)),
            f"{max(v.longest_yes for v in verdicts):.2f}",
        )
    console.print(table)


def _report(
    outcomes: list[FaultOutcome], skipped: dict[int, str], given: argparse.Namespace
) -> dict[str, object]:
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine.describe(),
        "stale_seconds": stale_seconds(given.factor),
        "factor": given.factor,
        "skipped": skipped,
        "seeds": [
            {
                "scenario": o.scenario.number,
                "seed": o.seed,
                "faults": [str(f) for f in o.faults],
                "good": o.verdict.good,
                "acknowledged": o.verdict.acknowledged,
                "refused": o.verdict.refused,
                "unknown": o.verdict.unknown,
                "lost": len(o.verdict.lost),
                "unequal": len(o.verdict.unequal),
                "late": len(o.verdict.late),
                "breached": len(o.verdict.breached),
                "asked": o.verdict.asked,
                "allowed": o.verdict.allowed,
                "longest_yes_seconds": round(o.verdict.longest_yes, 3),
                "quiet_seconds": round(o.verdict.quiet_seconds, 2),
                "seconds": round(o.seconds, 1),
                "found": o.verdict.found[:20],
            }
            for o in outcomes
        ],
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./kielto test faults", description=__doc__)
    parser.add_argument(
        "--scenario", type=int, action="append", choices=sorted(SCENARIOS), help="repeatable; all"
    )
    parser.add_argument("--seed", type=int, action="append", help="repeatable; instead of --seeds")
    parser.add_argument("--seeds", type=int, default=20, help="seeds 1 to N of each scenario (default 20)")
    parser.add_argument("--decisions", type=int, default=210, help="in each seed (default 210)")
    parser.add_argument(
        "--factor",
        type=float,
        default=1 / 60,
        help="scales N and absences (default 1/60, N 3 s; 1 is full, N 30 s)",
    )
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="a timeline of each seed, as SVG")
    parser.add_argument("--history", type=Path, metavar="FOLDER", help="keep the histories, as JSON lines")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all verdicts there")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
