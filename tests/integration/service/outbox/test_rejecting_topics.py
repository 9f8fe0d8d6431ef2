"""A topic that refuses a record for good waits by itself: the other topics' records and beats go on."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from kielto import kafka
from kielto.events.control import Beat
from kielto.events.messages import Audience
from kielto.events.records import Permissions
from kielto.events.topics import Family, Lane, Topic, _retained, all_topics, permissions_of
from kielto.events.words import Channel, Purpose
from kielto.service.database import pool
from kielto.service.outbox import pending, publish, rejecting_topics, relay
from kielto.service.outbox.publish import RecordChange
from kielto.service.outbox.relay import LaneRelay
from kielto.service.support import metrics
from tests.integration.service.support import Bench, TopicEntry, key, read_log, rising
from tests.waiting import until

LARGE = tuple(f"{n:064x}" for n in range(100))
"""Numbers that make a record larger than the limit below."""


class Two:
    """Two families under one relay; the first one's topics take small messages only."""

    def __init__(self, bench: Bench, other: Family, topics: dict[str, Topic]) -> None:
        self.bench, self.first, self.second, self.topics = bench, bench.family, other, topics

    @asynccontextmanager
    async def relaying(self, lane: Lane) -> AsyncIterator[None]:
        relay = LaneRelay(lane, replace(self.bench.settings(), families=(self.first, self.second)))
        task = asyncio.create_task(relay.run())
        try:
            await until(lambda: relay.leads, "nobody leads")
            yield
        finally:
            relay.stop()
            await asyncio.wait_for(task, 10)

    async def put(self, family: Family, k: str, *numbers: str, express: bool) -> None:
        record = Permissions(version="0.0", subject=k, numbers=numbers)
        async with pool.transaction(self.bench.pool) as conn:
            await publish.publish(conn, [RecordChange(family.name, k, record, express)])

    async def log(self, family: Family, lane: Lane) -> list[TopicEntry]:
        return await read_log(self.bench.bootstrap, self.topics[family.topic(lane)])

    async def versions(self, family: Family, lane: Lane, k: str) -> list[str]:
        return [e.version for e in await self.log(family, lane) if e.key == k]

    async def has(self, family: Family, lane: Lane, k: str) -> bool:
        return bool(await self.versions(family, lane, k))

    async def beats(self, family: Family) -> list[Beat]:
        entries = await self.log(family, Lane.EXPRESS)
        return [e.event for e in entries if isinstance(e.event, Beat) and e.partition == 0]

    async def beaten(self, family: Family, more_than: int) -> bool:
        return len(await self.beats(family)) > more_than


async def limit(bootstrap: str, topic: str, size: int) -> None:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})]
        )
    finally:
        await admin.close()


@pytest.fixture
async def two(service: Bench, monkeypatch: pytest.MonkeyPatch) -> Two:
    monkeypatch.setattr(rejecting_topics, "BACKOFF", (0.2, 0.8))
    other = permissions_of(f"company.t{secrets.token_hex(4)}")
    made = {t.name: t for t in all_topics([other.name]) if t.name in (other.bulk, other.express)}
    await kafka.create_topics(service.bootstrap, list(made.values()))
    for lane in Lane:
        await limit(service.bootstrap, service.family.topic(lane), 3000)
    return Two(service, other, service.topics | made)


def counted(topic: str) -> float:
    return float(metrics.RELAY_REFUSED.labels(topic, "MessageSizeTooLargeError")._value.get())


@pytest.mark.parametrize("lane", list(Lane))
async def test_the_other_topics_records_go_on_and_the_refused_one_is_tried_again(
    two: Two, lane: Lane
) -> None:
    express = lane is Lane.EXPRESS
    large, waits, goes = key(), key(), key()
    async with two.relaying(lane):
        await two.put(two.first, large, *LARGE, express=express)
        await until(lambda: counted(two.first.topic(lane)) >= 2, "it is not tried again")
        await two.put(two.first, waits, express=express)
        await two.put(two.second, goes, express=express)
        await until(lambda: two.has(two.second, lane, goes), "the whole lane is stopped")
        assert not await two.has(two.first, lane, large)
        assert await two.bench.marks() >= 1, "what was refused stays marked"
        await limit(two.bench.bootstrap, two.first.topic(lane), 500_000)
        await two.bench.no_marks()
    assert (await two.versions(two.first, lane, large))[-1] == "1.1"
    assert await two.has(two.first, lane, waits)


async def test_no_beat_vouches_for_a_topic_whose_wait_ends_while_others_are_published(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is which topics were looked at, not which may be tried again by the time of the beat."""
    monkeypatch.setattr(rejecting_topics, "BACKOFF", (0.05, 0.05))
    fetch = pending.fetch

    async def slow(*args: Any) -> Any:
        found = await fetch(*args)
        await asyncio.sleep(0.1)
        return found

    monkeypatch.setattr(pending, "fetch", slow)
    async with two.relaying(Lane.EXPRESS):
        await until(lambda: two.beaten(two.first, 0), "no beats")
        await two.put(two.first, key(), *LARGE, express=True)
        topic = two.first.topic(Lane.EXPRESS)
        await until(lambda: counted(topic) >= 1, "not refused")
        before, others = await two.beats(two.first), len(await two.beats(two.second))
        await until(lambda: two.beaten(two.second, others + 8), "the others stopped to beat")
        assert await two.beats(two.first) == before, "a beat says that nothing waits"


async def test_no_beat_vouches_for_the_refused_topic_and_the_others_beat_on(two: Two) -> None:
    k = key()
    async with two.relaying(Lane.EXPRESS):
        await until(lambda: two.beaten(two.first, 0), "no beats")
        await two.put(two.first, k, *LARGE, express=True)
        topic = two.first.topic(Lane.EXPRESS)
        await until(lambda: counted(topic) >= 1, "not refused")
        before, others = await two.beats(two.first), len(await two.beats(two.second))
        await until(lambda: two.beaten(two.second, others + 8), "the others stopped to beat")
        assert await two.beats(two.first) == before, "a beat says that nothing waits"
        await two.put(two.first, k, express=True)
        await two.bench.no_marks()
        await until(lambda: two.beaten(two.first, len(before) + 1), "no beats after it was mended")
    terms = {beat.term for beat in await two.beats(two.second)}
    assert len(terms) == 1, "the same leadership goes on, also when the topic is mended"
    entries = await two.log(two.first, Lane.EXPRESS)
    place = next(e for e in entries if e.key == k)
    numbers = [e.event.n for e in entries if isinstance(e.event, Beat) and e.partition == place.partition]
    after = [
        e.event.n
        for e in entries
        if isinstance(e.event, Beat) and e.partition == place.partition and e.offset > place.offset
    ]
    assert after[0] > numbers[numbers.index(after[0]) - 1] + 1, "what was withheld is a gap in the numbers"


async def test_order_holds_for_each_key_through_refusals(two: Two) -> None:
    keys = [key() for _ in range(4)]
    async with two.relaying(Lane.EXPRESS):
        for n in range(60):
            numbers = LARGE if n % 7 == 0 else (f"{n:064x}",)
            await two.put(two.first, keys[n % 4], *numbers, express=True)
            await two.put(two.second, keys[n % 4], f"{n:064x}", express=True)
            await asyncio.sleep(0.02)
        await limit(two.bench.bootstrap, two.first.topic(Lane.EXPRESS), 500_000)
        await two.bench.no_marks()
    for family in (two.first, two.second):
        for k in keys:
            versions = await two.versions(family, Lane.EXPRESS, k)
            assert rising(versions), f"reordered: {versions}"
            assert versions[-1] == "1.15"


async def test_a_refused_report_does_not_hold_up_those_of_other_topics(two: Two) -> None:
    names = [f"{family.name}.audiences.v1" for family in (two.first, two.second)]
    small = {"max.message.bytes": "100"}
    topics = [
        Topic(name, "marketing", (), (Audience,), _retained(3_600_000) | (small if name == names[0] else {}))
        for name in names
    ]
    await kafka.create_topics(two.bench.bootstrap, topics)
    k = key()
    recall = Audience(
        campaign=UUID(int=1),
        action="recall",
        subject=k,
        purpose=Purpose.OWN_MARKETING,
        channel=Channel.SMS,
        at=datetime.now(UTC),
    )
    async with two.relaying(Lane.BULK):
        for name in names:
            async with pool.transaction(two.bench.pool) as conn:
                await publish.report(conn, name, k, recall, source="marketing")
        query = "SELECT array_agg(topic) = ARRAY[$1::text] FROM reports"
        await until(lambda: _is(two, query, names[0]), "the second waits behind the first")
        await limit(two.bench.bootstrap, names[0], 500_000)
        await until(lambda: _is(two, "SELECT count(*) = 0 FROM reports"), "never sent")


async def _is(two: Two, query: str, *arguments: str) -> bool:
    return bool(await two.bench.pool.fetchval(query, *arguments))


async def test_a_topic_that_is_gone_holds_up_nobody_else(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another company's ban goes on; the gone one's waits, unvouched for, until its topic is made again."""
    monkeypatch.setattr(relay, "MISSING_SECONDS", 2.0)
    for lane in Lane:
        await limit(two.bench.bootstrap, two.first.topic(lane), 500_000)
    waits, goes = key(), key()
    async with two.relaying(Lane.EXPRESS):
        await until(lambda: two.beaten(two.second, 0), "no beats")
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=two.bench.bootstrap)
        await admin.start()
        await admin.delete_topics([two.second.topic(Lane.EXPRESS)])
        await admin.close()
        await two.put(two.second, waits, express=True)
        await two.put(two.first, goes, express=True)
        await until(lambda: two.has(two.first, Lane.EXPRESS, goes), "one topic stops the lane", seconds=60)
        assert await two.bench.marks() >= 1
        await kafka.create_topics(two.bench.bootstrap, [two.topics[two.second.topic(Lane.EXPRESS)]])
        await until(lambda: two.has(two.second, Lane.EXPRESS, waits), "its record waits for ever", seconds=60)
