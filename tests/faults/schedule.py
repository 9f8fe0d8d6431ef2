"""A seed, expanded to a schedule of faults. Pure: the same seed gives the same schedule, so any run can be repeated."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.e2e.cluster import RELAYS
from tests.faults.hooks import POINTS
from tests.faults.proxy import ProxyMode

SERVICES = ("customers", "consents", "marketing", *RELAYS)
SESSION_SECONDS = 10.0
"""Of the services' consumers: a member that is silent for longer is put out of its group."""

POISONS = ("value", "key", "decision", "oversized", "older_schema")
"""Of `poison.KINDS`."""


def stale_seconds(factor: float) -> float:
    """A gate's N; 30 in the group as it is shipped."""
    return max(3.0, 30.0 * factor)


def beat_seconds(factor: float) -> float:
    """10 in the group as it is shipped."""
    return max(0.5, 10.0 * factor)


@dataclass(frozen=True, slots=True)
class ScheduledFault:
    """From `at`, for `lasts` seconds: `action` (a method of `Injector`) to `whom`."""

    at: float
    action: str
    whom: str
    lasts: float = 0.0
    more: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        more = " ".join(f"{name}={value}" for name, value in self.more.items())
        return f"{self.at:6.2f} s  {self.action:<9} {self.whom:<18} for {self.lasts:5.2f} s  {more}".rstrip()


@dataclass(frozen=True, slots=True)
class FaultNames:
    """The processes of a world, by kind."""

    services: tuple[str, ...]
    followers: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return self.services + self.followers


Plan = Callable[[random.Random, FaultNames, float, float], list[ScheduledFault]]
"""(rng, names, seconds of the fault phase, factor that scales durations) -> faults in any order."""


def kill_points(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    faults = []
    for at in _spread(rng, seconds - 6, every=2.5):
        whom = rng.choice(names.all)
        kind = "follower" if whom in names.followers else "relay" if whom in RELAYS else "service"
        kind = rng.choice(("service", "relay")) if whom in ("customers", "marketing") else kind
        more = {"point": rng.choice(POINTS[kind]), "nth": rng.randint(1, 4)}
        faults.append(ScheduledFault(at, "end_at", whom, seconds - at, more))
    return faults


def kill_postgres(
    rng: random.Random, names: FaultNames, seconds: float, factor: float
) -> list[ScheduledFault]:
    return [
        ScheduledFault(at, "kill", "postgres", rng.uniform(0.1, 1.5))
        for at in _spread(rng, seconds - 2, every=3.5)
    ]


def kill_kafka(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    return [
        ScheduledFault(at, "kill", "kafka", rng.uniform(0.0, 1.0))
        for at in _spread(rng, seconds - 2, every=4.5)
    ]


def kafka_away(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    """Ten minutes, scaled."""
    return [ScheduledFault(rng.uniform(0.5, 2.0), "kill", "kafka", 600 * factor)]


def unanswered(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    more = {"mode": ProxyMode.APPENDED_UNANSWERED}
    return [
        ScheduledFault(at, "door", rng.choice(("consents", "followers")), rng.uniform(0.3, 1.5), more)
        for at in _spread(rng, seconds - 2, every=1.5)
    ]


def paused(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    """Longer than the session, and one shorter; PostgreSQL lets nobody wait for a sleeper."""
    first, second = rng.sample(names.all, 2)
    long = SESSION_SECONDS + rng.uniform(1.0, 2.5)
    return [
        ScheduledFault(rng.uniform(0.5, 1.5), "pause", first, long),
        ScheduledFault(rng.uniform(0.5, 3.0), "pause", second, rng.uniform(1.0, 6.0)),
    ]


def rebalances(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    """Further consumers of consents join, and leave or die so long after; one that is still there is waited for."""
    return [
        ScheduledFault(at, rng.choice(("join", "join_die")), f"consents-extra-{n % 2}", rng.uniform(0.3, 2.5))
        for n, at in enumerate(_spread(rng, seconds - 8, every=3.0))
    ]


def one_way(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    return [
        ScheduledFault(
            at,
            "door",
            rng.choice(("consents", "followers")),
            rng.uniform(0.5, 4.0),
            {"mode": rng.choice((ProxyMode.NO_ANSWERS, ProxyMode.NO_REQUESTS))},
        )
        for at in _spread(rng, seconds - 4, every=2.5)
    ]


def nothing(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    """The race itself is the fault; one process is killed in it."""
    return [ScheduledFault(rng.uniform(1, seconds - 2), "kill", rng.choice(names.all), 0.2)]


def poison(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    kinds = list(POISONS)
    rng.shuffle(kinds)
    times = _spread(rng, seconds - 2, every=seconds / 7)
    return [
        ScheduledFault(at, "poison", "kafka", 0.0, {"kind": kind})
        for at, kind in zip(times, kinds, strict=False)
    ]


def disk_full(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    return [ScheduledFault(rng.uniform(0.5, 2.0), "fill_disk", "disk", rng.uniform(1.5, 3.0))]


def other_days(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    """Each process on a day of its own, up to three days from today, before anything is decided."""
    return [
        ScheduledFault(0.0, "redate", whom, seconds, {"days": round(rng.uniform(-3, 3), 2)})
        for whom in names.all
    ]


def away(rng: random.Random, names: FaultNames, seconds: float, factor: float) -> list[ScheduledFault]:
    """A company's system is away while its topics are compacted; another begins with an empty store."""
    first, second = rng.sample([f for f in names.followers if f != "matkat-crm"], 2)
    return [
        ScheduledFault(0.2, "kill", first, seconds - 0.5),
        ScheduledFault(seconds / 2, "empty", second, 0.0),
    ]


def _spread(rng: random.Random, until: float, every: float) -> list[float]:
    """About one in each such interval."""
    count = max(1, round(until / every))
    return sorted(rng.uniform(0.3, max(0.4, until)) for _ in range(count))


@dataclass(frozen=True, slots=True)
class Scenario:
    """`seconds`: of the fault phase at factor 1/60, by the scenario's number in operations."""

    number: int
    title: str
    plan: Plan
    seconds: float = 8.0
    doors: bool = False
    small_disk: bool = False
    compacting: bool = False
    contended: bool = False
    auditor: bool = False
    own_days: bool = False

    def expand(self, seed: int, names: FaultNames, factor: float) -> list[ScheduledFault]:
        rng = random.Random(f"{self.number}/{seed}")
        return sorted(self.plan(rng, names, self.phase(factor), factor), key=lambda fault: fault.at)

    def phase(self, factor: float) -> float:
        """Seconds of the fault phase: longer with N, or with Kafka's absence."""
        if self.plan is kafka_away:
            return self.seconds + max(0.0, 600 * factor - 10)
        return self.seconds * stale_seconds(factor) / stale_seconds(0)


SCENARIOS = {
    s.number: s
    for s in (
        Scenario(
            1, "each process killed at its commit, publish and acknowledge points", kill_points, seconds=16.0
        ),
        Scenario(2, "PostgreSQL killed under load", kill_postgres),
        Scenario(3, "the broker killed under load", kill_kafka),
        Scenario(4, "Kafka away for ten minutes", kafka_away, seconds=13.0),
        Scenario(5, "the answer lost after the append", unanswered, doors=True),
        Scenario(6, "a process stopped past its session, then continued", paused, seconds=14.0),
        Scenario(7, "a storm of rebalances", rebalances, seconds=18.0),
        Scenario(8, "partitions in one direction", one_way, seconds=10.0, doors=True),
        Scenario(9, "ban and lifting race by many clients", nothing, contended=True),
        Scenario(10, "poison in mid-stream", poison, auditor=True),
        Scenario(11, "the disk full", disk_full, small_disk=True),
        Scenario(12, "wall clocks up to three days off", other_days, own_days=True),
        Scenario(13, "a company away through compaction, and a new one", away, seconds=10.0, compacting=True),
    )
}
