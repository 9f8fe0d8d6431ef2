"""What the demo measured and whether each step passed, as a table and as JSON."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table


@dataclass(slots=True)
class DemoStep:
    """One step: what it showed, verified by what the receivers answer. Latencies are from the accepted ban, in ms."""

    name: str
    ok: bool = False
    shown: str = ""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    lost: int = 0
    sent_after_ban: int = 0
    decisions: int = 0

    def took(self, receiver: str, seconds: float) -> None:
        self.latencies.setdefault(receiver, []).append(seconds * 1000)

    def report(self) -> dict[str, Any]:
        report = asdict(self)
        latencies = report.pop("latencies").items()
        return report | {"latencies_ms": {receiver: summary(values) for receiver, values in latencies}}


def summary(values: list[float]) -> dict[str, float]:
    """p50, p99 and maximum; a p99 of few values is their maximum."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 1),
        "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1),
        "max": round(ordered[-1], 1),
    }


@dataclass(slots=True)
class DemoResults:
    broker: dict[str, str]
    customers: int = 0
    first_ban_applied_at: float | None = None
    steps: list[DemoStep] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return all(step.ok for step in self.steps)

    def write(self, file: Path) -> None:
        report = {
            "broker": self.broker,
            "customers": self.customers,
            "decisions": sum(step.decisions for step in self.steps),
            "ok": self.ok,
            "first_ban_applied_at": self.first_ban_applied_at,
            "steps": [step.report() for step in self.steps],
        }
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")

    def table(self, receivers: list[str], running: str = "") -> Group:
        """One row for each step, with the median and the largest time of each receiver, and notes below."""
        table = Table(
            title="Say no once",
            title_justify="left",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        table.add_column("step", no_wrap=True)
        table.add_column("", min_width=2, no_wrap=True)
        for receiver in receivers:
            table.add_column(receiver.replace("-", "\n", 1), justify="right", no_wrap=True)
        notes = []
        for step in self.steps:
            cells = [_cell(step.latencies.get(receiver)) for receiver in receivers]
            mark = "[green]ok[/]" if step.ok else ("[yellow]…[/]" if step.name == running else "[red]NO[/]")
            table.add_row(step.name, mark, *cells)
            if step.shown:
                notes.append(f"[bold]{step.name}[/]: {escape(step.shown)}")
        table.caption = "ms from the accepted decision until the subscriber denies: median/largest"
        return Group(table, *notes)

    def show(self, receivers: list[str], console: Console) -> None:
        console.print(self.table(receivers))
        lost = sum(step.lost for step in self.steps)
        late = sum(step.sent_after_ban for step in self.steps)
        decisions = sum(step.decisions for step in self.steps)
        verdict = "[green]all steps verified[/]" if self.ok else "[red]some steps FAILED[/]"
        console.print(
            f"\n{self.customers} customers, {decisions} decisions, {lost} lost, {late} sent after a ban: {verdict}"
        )


def _cell(values: list[float] | None) -> str:
    return f"{_time(statistics.median(values))}/{_time(max(values))}" if values else ""


def _time(milliseconds: float) -> str:
    return f"{milliseconds:.0f}" if milliseconds < 1000 else f"{milliseconds / 1000:.1f}s"
