"""An unreadable key shuts a partition of a real subscriber; everything is published again, then it is voided."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kielto import kafka
from kielto.events.topics import PARTITIONS, Lane, all_topics
from kielto.kafka import partition_of
from kielto.service.auditor import voids
from kielto.service.database.pool import transaction
from kielto.service.outbox import backfills, batch_send
from kielto.service.outbox.batch_send import LaneStoppedError
from kielto.subscriber import MemoryStore, Reason, Subscriber
from tests.integration.service.auditor.auditing import all_repaired, auditing, findings, write
from tests.integration.service.support import Bench, key
from tests.waiting import until

STALE = 5.0


@asynccontextmanager
async def following(service: Bench) -> AsyncIterator[Subscriber]:
    """A real subscriber with its gate open."""
    own = [t for t in all_topics([service.family.name]) if t.name.startswith(f"{service.family.name}.")]
    await kafka.create_topics(service.bootstrap, own)
    async with transaction(service.pool) as conn:
        await backfills.request_first(conn, [service.family])
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    async with Subscriber(
        subscriber="crm",
        party=service.family.name,
        bootstrap=service.bootstrap,
        point_keys={1: bytes(32)},
        store=MemoryStore(),
        stale_seconds=STALE,
    ) as kielto:
        async with asyncio.timeout(20):
            await kielto.ready()
        yield kielto


async def opened(kielto: Subscriber) -> None:
    await until(lambda: kielto.shut() is None, "the gate stays shut", seconds=30)


@pytest.mark.parametrize("lane", Lane)
async def test_a_subscriber_shuts_and_opens_again(service: Bench, lane: Lane) -> None:
    keys = await populate(service)
    async with following(service) as kielto:
        offset = await write(service, lane, keys[0], "1.1", raw_key=b"nobody's", partition=2)
        await until(lambda: kielto.shut() is Reason.PARTITION_SHUT, "the gate stays open")
        async with auditing(service):
            await opened(kielto)
            await all_repaired(service, 1)
        assert await findings(service) == [("foreign", None, "repaired")]
    hidden = [k for k in keys if partition_of(k.encode(), PARTITIONS) == 2]
    entries = await service.log(lane)
    (void,) = [e for e in await service.log() if e.key.startswith("!void")]
    assert (void.partition, void.event.partition, void.event.offset) == (2, 2, offset)
    again = [e.key for e in entries if e.partition == 2 and e.offset > offset and e.key in keys]
    assert sorted(again) == sorted(hidden)
    assert not [e for e in entries if e.partition != 2 and lane is Lane.EXPRESS and e.key in keys]
    if lane is Lane.EXPRESS:  # whoever reads the void has read them
        assert max(e.offset for e in entries if e.key in hidden) < void.offset


async def populate(service: Bench) -> list[str]:
    """Marked; the relays of `following` publish them."""
    keys = [key() for _ in range(30)]
    for k in keys:
        await service.publish(k, "1", express=False)
    return keys


STEPS: dict[str, Callable[[Any], bool]] = {
    "found": lambda row: row is not None,
    "partly marked": lambda row: row is not None and bool(row["enumerated"]),
    "all marked": lambda row: row is not None and row["complete"],
}


@pytest.mark.parametrize("step", [*STEPS, "sent, not kept"])
async def test_killed_at_each_step(service: Bench, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if step != "all marked":
        monkeypatch.setattr(voids, "_LOOKED_AT", 7)
    keys = await populate(service)
    async with following(service) as kielto:
        await write(service, Lane.EXPRESS, keys[0], "1.1", raw_key=b"nobody's", partition=2)
        await until(lambda: kielto.shut() is Reason.PARTITION_SHUT, "the gate stays open")
        if step == "sent, not kept":
            await _die_after_sending(service, monkeypatch)
        else:
            await service.stop_relays()  # so that it gets no further than this step
            async with auditing(service):
                await until(lambda: _void(service, STEPS[step]), f"never {step}")
            service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
        async with auditing(service):
            await all_repaired(service, 1)
            await opened(kielto)
        assert await findings(service) == [("foreign", None, "repaired")]
        hidden = {k for k in keys if partition_of(k.encode(), PARTITIONS) == 2}
        assert hidden <= {e.key for e in await service.log() if e.partition == 2}
        assert await service.pool.fetchval("SELECT state FROM voids") == "published"


async def _void(service: Bench, reached: Callable[[Any], bool]) -> bool:
    return reached(await service.pool.fetchrow("SELECT * FROM voids"))


async def _die_after_sending(service: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    died = asyncio.Event()

    async def dies(*arguments: Any) -> Any:
        await batch_send.deliver(*arguments)
        died.set()
        raise LaneStoppedError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(voids, "deliver", dies)
        async with auditing(service):
            async with asyncio.timeout(20):
                await died.wait()


async def test_a_void_is_never_early(service: Bench) -> None:
    """While the records that it may have hidden wait for their relay, there is none."""
    keys = await populate(service)
    async with following(service) as kielto:
        await service.stop_relays()
        await write(service, Lane.EXPRESS, keys[0], "1.1", raw_key=b"nobody's", partition=2)
        async with auditing(service):
            await until(lambda: _void(service, STEPS["all marked"]), "never all marked")
            await asyncio.sleep(2)
            assert not [e for e in await service.log() if e.key.startswith("!void")]
            assert kielto.shut() is not None
            service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
            await opened(kielto)
