"""Why a state travels on a pair of topics: what is left in the log itself after compaction, with nobody
repairing.

A bulk relay rests between reading a permit and sending it; meanwhile a ban goes by express. On one compacted
topic the permit comes last and compaction swallows the ban. On a pair the ban stays.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events.topics import Lane
from kielto.service.outbox import pending
from tests.integration.service.support import Bench, bench, key, read_log
from tests.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

COMPACTS_AT_ONCE = {
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "1000",
    "segment.ms": "1000",
    "min.cleanable.dirty.ratio": "0.01",
}
RESTS_SECONDS = 1.5


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Bench]:
    """A broker of its own whose cleaner runs often, and topics that are compacted within seconds."""
    with Stack(tmp_path / "stack", kafka={"log.cleaner.backoff.ms": "300"}) as stack:
        if not stack.kafka.managed:
            pytest.skip("KIELTO_KAFKA is set: its cleaner is not ours to hurry")
        async with bench(stack.postgres.create_database("plumbing"), stack.kafka.bootstrap) as made:
            yield made


async def _topics(service: Bench, name: str, *, one: bool) -> None:
    """A family with topics that compact at once: a pair, or with the bug planted a single one."""
    express = next(iter(t for t in service.topics.values() if t.name == service.family.express))
    made = [
        replace(express, name=f"{name}.{t}", config={**express.config, **COMPACTS_AT_ONCE})
        for t in ("a", "b")
    ]
    await kafka.create_topics(service.bootstrap, made)
    first, second = made
    service.family = replace(service.family, express=first.name, bulk=first.name if one else second.name)
    service.topics = {t.name: t for t in made}


@pytest.fixture
def slow_bulk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    fetch = pending.fetch

    async def rests(conn: Any, lane: Lane, *more: Any) -> Any:
        found = await fetch(conn, lane, *more)
        if lane is Lane.BULK and found[0]:
            await asyncio.sleep(RESTS_SECONDS)
        return found

    return lambda: monkeypatch.setattr(pending, "fetch", rests)


@pytest.mark.parametrize("one", [False, True], ids=["pair", "one topic, planted"])
async def test_the_newest_is_left_after_compaction(
    service: Bench, slow_bulk: Callable[[], None], one: bool
) -> None:
    await _topics(service, "compacted", one=one)
    banned = key()
    await service.publish(banned, "1", express=False)
    slow_bulk()
    bulk, express = service.relay(Lane.BULK), service.relay(Lane.EXPRESS)
    await until(lambda: bulk.leads and express.leads, "the relays do not lead")
    await asyncio.sleep(0.5)
    ban = await service.publish(banned, "2", express=True)
    await service.no_marks()
    await until(lambda: _compacted(service, banned), "the topic is not compacted", seconds=60)
    left = [(lane, e.version) for lane in Lane for e in await _entries(service, lane) if e.key == banned]
    newest = max(version for _, version in left)
    assert (newest == ban) is not one, left


async def _entries(service: Bench, lane: Lane) -> list[Any]:
    return await read_log(service.bootstrap, service.topics[service.family.topic(lane)])


async def _compacted(service: Bench, banned: str) -> bool:
    """One record of the key is left in each topic; beats go on, so that segments roll."""
    for lane in Lane:
        if sum(e.key == banned for e in await _entries(service, lane)) != 1:
            return False
    await asyncio.sleep(0.2)
    return True
