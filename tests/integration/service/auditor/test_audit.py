"""The auditor on a real broker: whatever is wrong in the log is found once, and is right again afterwards."""

import asyncio

import pytest

from kielto.events.topics import Lane
from kielto.service.database import pool
from kielto.service.outbox import backfills
from tests.integration.service.auditor.auditing import (
    all_repaired,
    auditing,
    caught_up,
    findings,
    last_versions,
    write,
)
from tests.integration.service.support import Bench, key
from tests.waiting import until


@pytest.fixture(params=Lane, ids=[lane.value for lane in Lane])
def lane(request: pytest.FixtureRequest) -> Lane:
    return Lane(request.param)


async def published(service: Bench, *numbers: str, lane: Lane = Lane.EXPRESS) -> str:
    """A record with one version for each number; its key."""
    k = key()
    for number in numbers:
        await service.publish(k, number, express=lane is Lane.EXPRESS)
        await service.no_marks()
    return k


async def test_nothing_is_found_where_nothing_is_wrong(service: Bench) -> None:
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    async with auditing(service):
        keys = [key() for _ in range(50)]
        for number in range(10):
            for k in keys[number::3]:
                await service.publish(k, str(number), express=number % 2 == 0)
        await service.no_marks()
        await caught_up(service)
        await asyncio.sleep(3)  # the walk goes round
    assert await findings(service) == []
    rows = await service.pool.fetch("SELECT key, max(n) AS n FROM audit GROUP BY key")
    held = await service.pool.fetch("SELECT key, n FROM records")
    assert {tuple(r) for r in rows} == {tuple(r) for r in held}


async def test_a_zombies_late_older_record(service: Bench, lane: Lane) -> None:
    """It comes behind a newer one: the newer one is published again, so that compaction keeps it."""
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    k = await published(service, "1", "2", "3", lane=lane)
    async with auditing(service):
        await caught_up(service)
        await write(service, lane, k, "1.2")
        await all_repaired(service, 1)
        assert await findings(service) == [("regression", k, "repaired")]
    assert await last_versions(service, lane, k) == ["1.1", "1.2", "1.3", "1.2", "1.3"]


async def test_a_restart_in_mid_pass_finds_nothing_twice(service: Bench) -> None:
    """Without relays nothing is repaired meanwhile; each finding has one mark, however often it is read."""
    relay = service.relay(Lane.EXPRESS)
    keys = [await published(service, "1", "2") for _ in range(5)]
    relay.stop()
    await service.stop_relays()
    for k in keys:
        await write(service, Lane.EXPRESS, k, "1.1")
    for seconds in (0.05, 0.2, 0.3, 0.4, 0.5):
        async with auditing(service):
            await asyncio.sleep(seconds)
    async with auditing(service):
        await caught_up(service)
    assert sorted(await findings(service)) == sorted(("regression", k, "open") for k in keys)
    assert await service.marks() == len(keys)
    async with auditing(service):
        service.relay(Lane.EXPRESS)
        await all_repaired(service, len(keys))
    for k in keys:
        assert (await last_versions(service, Lane.EXPRESS, k))[-2:] == ["1.1", "1.2"]


async def test_a_record_above_the_database_is_told_and_not_overwritten(service: Bench) -> None:
    service.relay(Lane.EXPRESS)
    k, stranger = await published(service, "1"), key()
    async with auditing(service):
        await write(service, Lane.EXPRESS, k, "1.7")
        await write(service, Lane.EXPRESS, stranger, "1.1")
        await caught_up(service)
        await asyncio.sleep(3)
        assert sorted(await findings(service)) == sorted([("ahead", k, "open"), ("ahead", stranger, "open")])
        assert await last_versions(service, Lane.EXPRESS, k) == ["1.1", "1.7"]
        await service.pool.execute("UPDATE records SET n = 7 WHERE key = $1", k)
        await service.publish(k, "2")
        await until(lambda: _state(service, k, "repaired"), "it is above that by now")


async def _state(service: Bench, k: str, state: str) -> bool:
    return ("ahead", k, state) in await findings(service)


async def test_an_epoch_that_is_over(service: Bench) -> None:
    """A record of the old epoch that comes behind the new one's first beat, of a key not yet published there."""
    service.relay(Lane.EXPRESS)
    k = await published(service, "1")
    await service.stop_relays()
    await service.pool.execute("UPDATE epoch SET epoch = 2")
    await service.pool.execute("UPDATE records SET epoch = 2, n = 2")
    async with pool.transaction(service.pool) as conn:  # as an epoch begins; no bulk relay runs here
        await backfills.request(conn, service.family.name)
    service.relay(Lane.EXPRESS)
    await until(lambda: _beats_of(service, 2), "the new epoch does not beat")
    await write(service, Lane.EXPRESS, k, "1.5")
    async with auditing(service):
        await all_repaired(service, 1)
    assert await findings(service) == [("late-epoch", k, "repaired")]
    assert await last_versions(service, Lane.EXPRESS, k) == ["1.1", "1.5", "2.2"]


async def _beats_of(service: Bench, epoch: int) -> bool:
    return {p for p, _, beat in await service.beats() if beat.epoch == epoch} == set(range(6))


@pytest.mark.parametrize("wrong", ["value", "partition", "tombstone"])
async def test_what_no_writer_of_ours_makes(service: Bench, lane: Lane, wrong: str) -> None:
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    k = await published(service, "1", "2", lane=lane)
    async with auditing(service):
        await caught_up(service)
        match wrong:
            case "value":
                await write(service, lane, k, "1.2", value=b"\xff")
            case "partition":
                at = int(await service.pool.fetchval("SELECT partition FROM audit WHERE key = $1", k))
                await write(service, lane, k, "1.2", partition=(at + 1) % 6)
            case "tombstone":
                await write(service, lane, k, "1.2", value=None)
        await all_repaired(service, 1)
    assert await findings(service) == [("foreign", k, "repaired")]
    assert (await last_versions(service, lane, k))[-1] == "1.2"
    assert len(await last_versions(service, lane, k)) == (4 if wrong == "partition" else 3)
