"""What a history must show. Pure; times are seconds of the harness's one monotonic clock."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SHUT = ("starting", "stale", "snapshot-incomplete", "partition-shut")


@dataclass(slots=True)
class RunVerdict:
    """`lost`, `unequal`: found at rest. `late`: a yes after a no was seen. `breached`: a hand-over after the bound."""

    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    asked: int = 0
    allowed: int = 0
    lost: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    breached: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    """What the seed is about and did not meet: it broke no promise, and shows none."""
    longest_yes: float = 0.0
    """Seconds from a ban's acknowledgement to the last question that was still answered with yes."""
    quiet_seconds: float = 0.0

    @property
    def broken(self) -> list[str]:
        return [*self.lost, *self.unequal, *self.late, *self.breached, *self.other]

    @property
    def found(self) -> list[str]:
        return [*self.broken, *self.missed]

    @property
    def good(self) -> bool:
        return not self.found


def judge(events: Iterable[dict[str, Any]], bound: float) -> RunVerdict:
    """Everything that follows from the history alone. `bound`: N, after which a gate is never open on an old view.

    A ban that a company's own system took binds that system at once, and the others from when consents has it, which
    the history does not tell: those are held against it at rest only.
    """
    found = RunVerdict()
    banned: dict[int, tuple[float, str]] = {}
    denied: dict[tuple[str, int], float] = {}
    for event in sorted(events, key=lambda e: e.get("asked", e["t"])):
        match event["what"]:
            case "ok":
                found.acknowledged += 1
                if event["once"]:
                    banned.setdefault(event["customer"], (event["t"], event["via"]))
            case "fail":
                found.refused += 1
            case "unknown":
                found.unknown += 1
            case "may":
                _answer(found, event, banned, denied, bound)
    return found


def _answer(
    found: RunVerdict,
    event: dict[str, Any],
    banned: dict[int, tuple[float, str]],
    denied: dict[tuple[str, int], float],
    bound: float,
) -> None:
    found.asked += 1
    who, customer = event["who"], event["customer"]
    if not event["allowed"]:
        if event["reason"] == "denied":
            denied.setdefault((who, customer), event["t"])
        return
    found.allowed += 1
    if (since := denied.get((who, customer))) is not None and event["asked"] > since:
        found.late.append(
            f"{who}: yes at {event['asked']:.3f} s for customer {customer}, denied at {since:.3f} s"
        )
    if customer not in banned:
        return
    at, via = banned[customer]
    own = who == f"{via}-crm"
    if via == "http" or own:
        after = event["asked"] - at
        found.longest_yes = max(found.longest_yes, after)
        if after > (0.0 if own else bound):
            found.breached.append(f"{who}: yes {after:.3f} s after the ban of customer {customer} ({via})")
