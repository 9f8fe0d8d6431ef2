"""Offsets without a record (transaction markers, aborted records, deleted ones) count as read."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
import structlog
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from kielto import kafka
from kielto.events import envelope
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane
from kielto.service.inbox import transactional, watchdog
from kielto.service.recovery.new_epoch import Epochs
from kielto.service.support import metrics
from tests.integration.kafka.foreign import Message, Transaction, transact, write
from tests.integration.service.inbox.test_consumers import Inbox, inbox
from tests.integration.service.support import Bench, key
from tests.waiting import until

__all__ = ["inbox"]


def record(k: str, version: str = "1.1") -> Message:
    encoded = envelope.encode(Permissions(version=version, subject=k), key=k, source="consents")
    return encoded.key, encoded.value, encoded.headers


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_SECONDS", 0.3)
    monkeypatch.setattr(watchdog, "_STUCK_SECONDS", 3.0)


@asynccontextmanager
async def without_restarts(inbox: Inbox) -> AsyncIterator[None]:
    """Consumers at work. Where each block ends with a lag of none, the watchdog has seen that nothing stands."""
    with structlog.testing.capture_logs() as logs:
        async with inbox.running():
            yield
    assert not [line for line in logs if line["event"] == "work.failed"]


async def taken_in(inbox: Inbox) -> bool:
    """Every partition, as of now."""
    service, topic = inbox.bench, inbox.topic.name
    client = kafka.consumer(service.bootstrap, **kafka.UNCOMMITTED)
    await client.start()
    try:
        ids = await kafka.topic_ids(client, [topic])
        ends = await kafka.end_offsets(client, [TopicPartition(topic, p) for p in range(PARTITIONS)])
    finally:
        await client.stop()
    positions = await transactional.positions(service.pool, ids)
    return all(positions.get((topic, p.partition), 0) == end for p, end in ends.items())


async def lag_is_none(inbox: Inbox) -> bool:
    return metrics.INBOX_LAG.labels(inbox.topic.name)._value.get() == 0 and await taken_in(inbox)


async def test_a_marker_at_the_end_counts_as_read(inbox: Inbox) -> None:
    said = key()
    async with without_restarts(inbox):
        await transact(inbox.bench.bootstrap, inbox.topic.name, 0, [record(said)])
        await until(lambda: inbox.has_seen(said), "not taken in")
        await until(lambda: lag_is_none(inbox), "the marker counts as unread")


async def test_markers_and_aborted_records_count_as_read(inbox: Inbox) -> None:
    service, topic = inbox.bench, inbox.topic.name
    first, aborted, behind = (key() for _ in range(3))
    for _ in range(3):
        await transact(service.bootstrap, topic, 1, [record(first)])
    await transact(service.bootstrap, topic, 1, [record(aborted)] * 5, commit=False)
    await transact(
        service.bootstrap, topic, 2, [record(aborted)], commit=False
    )  # nothing else is in this one
    await transact(service.bootstrap, topic, 4, [record(aborted)], commit=False)
    await write(service.bootstrap, topic, 4, [record(behind)])
    async with without_restarts(inbox):
        await until(lambda: lag_is_none(inbox), "something counts as unread")
    assert {k for k, _ in await inbox.seen()} == {first, behind}


async def test_what_was_deleted_before_it_was_read_counts_as_read(inbox: Inbox) -> None:
    """By retention, of a topic without compaction: what a company's own topics are."""
    service, said = inbox.bench, key()
    topic = replace(inbox.topic, name=f"retained-{secrets.token_hex(4)}", config={})
    await kafka.create_topics(service.bootstrap, [topic])
    other = Inbox(service, topic, batch=inbox.batch)
    await write(service.bootstrap, topic.name, 3, [record(key())] * 4)
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=service.bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(topic.name, 3): RecordsToDelete(4)})
    await admin.close()
    await write(service.bootstrap, topic.name, 3, [record(said)])
    async with without_restarts(other):
        await until(lambda: lag_is_none(other), "something counts as unread")
    assert [k for k, _ in await other.seen()] == [said]


async def test_what_is_open_waits_for_its_commit_and_is_not_stepped_over(inbox: Inbox) -> None:
    service, topic = inbox.bench, inbox.topic.name
    open_one, behind = key(), key()
    transaction = await Transaction.begin(service.bootstrap, topic)
    await transaction.write(0, [record(open_one)])
    await write(service.bootstrap, topic, 0, [record(behind)])
    async with without_restarts(inbox):
        await asyncio.sleep(2)
        assert not await inbox.seen(), "an open transaction is not read, nor what stands behind it"
        await transaction.commit()
        await until(lambda: inbox.has_seen(open_one, behind), "what was committed is not read")
        await until(lambda: lag_is_none(inbox), "something counts as unread")


async def test_records_between_markers_are_never_stepped_over(inbox: Inbox) -> None:
    """The consumers are begun again amid it: a gap that is stepped over must not swallow what comes behind it."""
    service, topic = inbox.bench, inbox.topic.name
    keys: list[str] = []
    for number in range(4):
        async with inbox.running():
            for commit in (True, False, True):
                keys += [k := key()] if commit else []
                await transact(
                    service.bootstrap, topic, number % 2, [record(k if commit else key())], commit=commit
                )
                await asyncio.sleep(0.2)
    async with inbox.running():
        await until(lambda: inbox.has_seen(*keys), "passed over")
        await until(lambda: lag_is_none(inbox), "something counts as unread")
    assert sorted(k for k, _ in await inbox.seen()) == sorted(keys)


@pytest.mark.parametrize(
    "steps", [[True], [True, True, False], [False]], ids=["committed", "several", "aborted"]
)
async def test_a_new_epoch_opens_although_inputs_end_with_markers(
    service: Bench, steps: Sequence[bool]
) -> None:
    topic = service.family.topic(Lane.BULK)
    for commit in steps:
        await transact(service.bootstrap, topic, 0, [record(key())], commit=commit)
    committed = max((2 * n + 1 for n, commit in enumerate(steps) if commit), default=0)
    client = kafka.consumer(service.bootstrap)
    await client.start()
    ids = await kafka.topic_ids(client, [topic])
    await client.stop()
    if committed:
        await service.pool.execute(
            "INSERT INTO positions VALUES ($1, 0, $2, $3)", topic, ids[topic], committed
        )
    waiting = Epochs(service.bootstrap, service.pool, (), (topic,))._inputs_taken()
    await asyncio.wait_for(waiting, 10)


async def test_a_new_epoch_waits_for_a_record_behind_a_marker(service: Bench) -> None:
    topic = service.family.topic(Lane.BULK)
    await transact(service.bootstrap, topic, 0, [record(key())], commit=False)
    await write(service.bootstrap, topic, 0, [record(key())])
    waiting = Epochs(service.bootstrap, service.pool, (), (topic,))._inputs_taken()
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(waiting, 4)
