"""One scenario on a world of its own: its seeds one after another, each fault -> heal -> quiesce -> check."""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.local.servers.stack import Stack
from kielto.events.topics import Lane, families
from tests.e2e import log
from tests.e2e.checks import acknowledged_are_kept, settle, stores_equal
from tests.faults.history import History
from tests.faults.inject import Injector
from tests.faults.load import MIXED, NO_PER_SEED, Load
from tests.faults.met import missed
from tests.faults.schedule import Scenario, ScheduledFault, stale_seconds
from tests.faults.verdict import RunVerdict, judge
from tests.faults.world import FaultWorld, SmallDisk

COMPACTS = {"segment.ms": "1000", "min.compaction.lag.ms": "0", "max.compaction.lag.ms": "1000"}
AFTER_SECONDS = 1.0
"""Senders ask on for so much longer than N after the world is whole, so that the bound is seen to hold to its end."""


class ScenarioSkippedError(Exception):
    """The scenario cannot be run here; says why."""


@dataclass(slots=True)
class Options:
    seeds: tuple[int, ...]
    decisions: int = 210
    factor: float = 1 / 60
    bugs: Mapping[str, str] | None = None


@dataclass(slots=True)
class FaultOutcome:
    """Of one seed; `events` is its part of the history."""

    scenario: Scenario
    seed: int
    faults: list[ScheduledFault]
    verdict: RunVerdict
    events: list[dict[str, object]]
    seconds: float


class ScenarioRun:
    """A world for one scenario; `seeds()` yields the outcome of each."""

    def __init__(self, scenario: Scenario, options: Options, folder: Path) -> None:
        self._scenario, self._options, self._folder = scenario, options, folder
        self.history = History(folder / f"scenario-{scenario.number}.jsonl")

    async def seeds(self) -> AsyncIterator[FaultOutcome]:
        async with self._world() as (world, injector):
            customers = MIXED + NO_PER_SEED * len(self._options.seeds)
            load = Load(world, customers, self.history)
            await load.bring_customers()
            if self._scenario.compacting:
                await _compact_at_once(world)
            for place, seed in enumerate(self._options.seeds):
                outcome = await self._one(world, injector, load, seed, MIXED + NO_PER_SEED * place)
                if seed == self._options.seeds[-1] and self._leaves_its_log:
                    outcome.verdict.other += await _the_log_must_be_right(world)
                yield outcome

    @property
    def _leaves_its_log(self) -> bool:
        """Nobody repairs, and nothing is compacted away."""
        return not (self._scenario.auditor or self._scenario.compacting)

    async def _one(
        self, world: FaultWorld, injector: Injector, load: Load, seed: int, first: int
    ) -> FaultOutcome:
        history, scenario, options = self.history, self._scenario, self._options
        faults = scenario.expand(seed, world.names, options.factor)
        steps = load.expand(seed, first, options.decisions, scenario.contended)
        phase, stale = scenario.phase(options.factor), stale_seconds(options.factor)
        over, began, place = asyncio.Event(), time.monotonic(), len(history.events)
        days = [fault for fault in faults if fault.action == "redate"]
        await injector.run(days)
        await world.open()
        people = range(first, first + NO_PER_SEED)
        async with asyncio.TaskGroup() as tasks:
            for follower in world.stores:
                tasks.create_task(load.ask_on(follower, people, over))
            history.add("phase", name="fault", seed=seed)
            # A race is as fast at full length.
            clients, given_in = (64, scenario.seconds) if scenario.contended else (16, phase)
            giving = tasks.create_task(load.give(steps, per_second=len(steps) / given_in, clients=clients))
            await injector.run([fault for fault in faults if fault not in days])
            history.add("phase", name="heal")
            await injector.heal()
            await giving
            history.add("phase", name="quiesce")
            healed = time.monotonic()
            await settle(world, load, world.stores, seconds=90)
            quiet = time.monotonic() - healed
            await asyncio.sleep(max(0.0, stale + AFTER_SECONDS - quiet))
            over.set()
        history.add("phase", name="check")
        if scenario.compacting:
            history.add("compacted", records=await _compacted(world))
        events = history.events[place:]
        verdict = judge(events, stale)
        verdict.missed = missed(scenario.number, events)
        verdict.quiet_seconds = quiet
        verdict.lost = await acknowledged_are_kept(world, load)
        verdict.unequal = await stores_equal(world, world.stores)
        return FaultOutcome(scenario, seed, faults, verdict, events, time.monotonic() - began)

    @asynccontextmanager
    async def _world(self) -> AsyncIterator[tuple[FaultWorld, Injector]]:
        disk = _disk(self._scenario, self._folder)
        if disk is not None:
            await asyncio.to_thread(disk.mount)
        stack = Stack((disk.folder if disk else self._folder) / f"stack-{self._scenario.number}")
        folder = self._folder / f"world-{self._scenario.number}"
        world = FaultWorld(stack, folder, self._scenario, self._options.factor, self._options.bugs)
        try:
            await world.open_doors()
            await asyncio.to_thread(stack.start)
            await asyncio.to_thread(world.start)
            yield world, Injector(world, self.history, disk)
        finally:
            await asyncio.to_thread(world.stop)
            for process in world.extra.values():
                await asyncio.to_thread(process.stop)
            await world.close()
            await asyncio.to_thread(stack.stop)
            if disk is not None:
                await asyncio.to_thread(disk.unmount)
            self.history.close()


def _disk(scenario: Scenario, folder: Path) -> SmallDisk | None:
    if not scenario.small_disk:
        return None
    if os.geteuid() != 0:
        raise ScenarioSkippedError(
            "a disk that can be filled is a file system of its own, which only root can mount"
        )
    return SmallDisk(Path(tempfile.mkdtemp(prefix="kielto-disk-", dir=folder)))


async def _compact_at_once(world: FaultWorld) -> None:
    """The state topics' segments roll and are cleaned within seconds: a week's compaction in a moment."""
    admin = AIOKafkaAdminClient(bootstrap_servers=world.stack.kafka.bootstrap)
    await admin.start()
    try:
        config = {"cleanup.policy": "compact", "message.timestamp.type": "LogAppendTime", **COMPACTS}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name, config) for name in _state_topics(world)]
        await admin.alter_configs(resources)
    finally:
        await admin.close()


async def _compacted(world: FaultWorld) -> int:
    """Of the records that were ever published to parties, how many are no longer in the log."""
    connection = await asyncpg.connect(world.services.dsns["consents"])
    try:
        rows = await connection.fetch('SELECT topic, partition, "offset" FROM publications')
    finally:
        await connection.close()
    published = {tuple(row) for row in rows}
    return len(published - await log.places(world.stack.kafka.bootstrap, {topic for topic, *_ in published}))


async def _the_log_must_be_right(world: FaultWorld) -> list[str]:
    """Nobody repaired anything in this world: the last record of each key must be its highest."""
    return log.regressions(await log.versions(world.stack.kafka.bootstrap, _state_topics(world)))


def _state_topics(world: FaultWorld) -> list[str]:
    return sorted({family.topic(lane) for family in families(world.group.parties) for lane in Lane})
