"""Pruning changes no answer: what each subscriber has applied, and when, is the same before and after."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from kielto.events.topics import Lane
from kielto.events.words import Act, Channel
from services.consents.use_cases.propagation import prune
from services.consents.use_cases.propagation.whereabouts import Location, locate
from tests.integration.consents.propagation.test_whereabouts import PublicationLog, standing
from tests.integration.consents.world import ConsentsWorld, Someone

OLD = datetime.now(UTC) - timedelta(days=3)


@pytest.fixture
def log(world: ConsentsWorld) -> PublicationLog:
    return PublicationLog(world)


async def everything(world: ConsentsWorld, decisions: list[UUID]) -> list[list[Location]]:
    return [await locate(world.context, decision, None) for decision in decisions]


async def lateness(world: ConsentsWorld) -> list[tuple[int, int, bool]]:
    """Of what a subscriber lacks, publications that a later one of the same record stands for may go."""
    found = [await standing(world, s) for s in ("kauppa-crm", "kauppa-mail")]
    return [(s.stores, s.overdue, s.missing_since is None) for s in found]


@pytest.mark.parametrize("seed", range(5))
async def test_pruning_changes_no_answer(world: ConsentsWorld, log: PublicationLog, seed: int) -> None:
    draw = random.Random(seed)
    people, stores = (
        [Someone() for _ in range(4)],
        [(s, uuid4()) for s in ("kauppa-crm", "kauppa-crm", "kauppa-mail")],
    )
    await world.know(*people)
    decisions: list[UUID] = []
    upto: dict[tuple[UUID, Lane], int] = {}
    for step in range(60):
        who, lane, at = draw.choice(people), draw.choice(list(Lane)), OLD + timedelta(seconds=step)
        what = draw.random()
        if what < 0.25:
            channels = (draw.choice(list(Channel)),)
            outcome = await world.decide(world.by_id(who), Act.BAN, channels=channels, received_at=at)
            decisions.append(outcome.decision.id)
        elif what < 0.6:
            await log.publish(who, lane)
        elif what < 0.7:
            log.ends[lane] += draw.randint(1, 5)  # beats
        else:
            subscriber, store = draw.choice(stores)
            place = (store, lane)
            upto[place] = draw.randint(upto.get(place, 0), log.ends[lane])
            await log.acknowledge(store, upto[place], lane=lane, subscriber=subscriber, at=at)
    await world.pool.execute("UPDATE publications SET at = at - interval '3 days'")
    before = await everything(world, decisions)
    states = await lateness(world)
    await prune.prune_once(world.context)
    assert await everything(world, decisions) == before
    assert await lateness(world) == states
    for (store, lane), end in upto.items():  # what comes after is proven as before
        subscriber = next(s for s, g in stores if g == store)
        await log.acknowledge(store, max(end, log.ends[lane]), lane=lane, subscriber=subscriber)
    after = await everything(world, decisions)
    await prune.prune_once(world.context)
    assert await everything(world, decisions) == after


async def test_what_beats_moved_and_what_was_published_again_goes(
    world: ConsentsWorld, log: PublicationLog
) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    for _ in range(10):
        await log.publish(who, Lane.BULK)
    for n in range(1, 10):
        await log.acknowledge(store, 10 + n, lane=Lane.BULK, at=OLD + timedelta(seconds=n))
    await world.pool.execute("UPDATE publications SET at = at - interval '3 days'")
    assert await prune.prune_once(world.context) == (9, 7), (
        "the newest publication; the ack that covered, and the last"
    )


async def test_what_is_young_stays(world: ConsentsWorld, log: PublicationLog) -> None:
    who, store = Someone(), uuid4()
    await world.know(who)
    for n in range(3):
        await log.publish(who, Lane.BULK)
        await log.acknowledge(store, 10 + n, lane=Lane.BULK)
    assert await prune.prune_once(world.context) == (0, 0)


async def test_the_gone_are_forgotten_after_long(world: ConsentsWorld, log: PublicationLog) -> None:
    gone, dead, live, now = uuid4(), uuid4(), uuid4(), datetime.now(UTC)
    await log.acknowledge(gone, 1, at=now - timedelta(days=9))
    await log.acknowledge(dead, 1, at=now - timedelta(days=500))
    for minutes in range(71):
        await log.acknowledge(live, 1, at=now - timedelta(minutes=70 - minutes) / 70 * 70, instance=live)
    await world.pool.execute(
        "UPDATE instances SET since = $1 WHERE instance = $2", now - timedelta(hours=2), live
    )
    await prune.prune_once(world.context)
    rows = await world.pool.fetch("SELECT instance FROM instances")
    assert [row["instance"] for row in rows] == [live]
    rows = await world.pool.fetch("SELECT generation FROM stores ORDER BY since")
    assert [row["generation"] for row in rows] == [gone, live], "what it had is kept for 400 days"
    assert {r["generation"] for r in await world.pool.fetch("SELECT generation FROM acks")} == {gone, live}
