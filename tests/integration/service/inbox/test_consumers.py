"""The consumers against a real broker: nothing is passed over, whatever comes and whatever fails."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.producer import message_accumulator
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from kielto import kafka
from kielto.events import envelope
from kielto.events.envelope import Read
from kielto.events.messages import Report
from kielto.events.records import Permissions
from kielto.events.topics import Lane, Topic, _retained
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.inbox import consumers, topic_reader
from kielto.service.inbox.consumers import Consumers, UnsafeSubscriberError
from kielto.service.inbox.handlers import Meta, PermanentError, Subscription
from kielto.service.inbox.quarantine import NotQuarantinedError
from tests.integration.service.support import CIPHER, Bench, key, quarantine_of
from tests.waiting import until


class Projection:
    """Keeps what it is given in a table of its own; fails as it is told."""

    def __init__(self) -> None:
        self.fail: dict[str, BaseException] = {}
        self.calls = 0

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        self.calls += 1
        if failure := self.fail.get(read.key):
            raise failure
        version = getattr(read.event, "version", "1.0")
        await conn.execute(
            "INSERT INTO seen VALUES ($1, $2, $3, $4, $5)",
            meta.topic,
            meta.partition,
            meta.offset,
            read.key,
            version,
        )

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        for read, meta in items:
            await self.handle(conn, read, meta)

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        await conn.execute(
            "INSERT INTO seen VALUES ($1, $2, $3, $4, $5)",
            meta.topic,
            meta.partition,
            meta.offset,
            key,
            "denied",
        )


class Inbox:
    """A service that reads one topic."""

    def __init__(self, service: Bench, topic: Topic, *, batch: bool, name: str = "inbox") -> None:
        self.bench, self.topic, self.batch, self.name = service, topic, batch, name
        self.projection = Projection()
        self.subscriptions = [Subscription(topic.name, self.projection, batch=batch)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Consumers]:
        running = Consumers(
            self.name,
            self.bench.bootstrap,
            self.bench.pool,
            {self.topic.name: self.topic},
            self.subscriptions,
            CIPHER,
        )
        task = asyncio.create_task(running.run())
        try:
            yield running
        finally:
            running.stop()
            await asyncio.wait_for(task, 20)

    async def seen(self) -> list[tuple[str, str]]:
        rows = await self.bench.pool.fetch('SELECT key, version FROM seen ORDER BY partition, "offset"')
        return [(row["key"], row["version"]) for row in rows]

    async def has_seen(self, *keys: str) -> bool:
        return {k for k, _ in await self.seen()} >= set(keys)


@pytest.fixture(params=[False, True], ids=["single", "batch"])
async def inbox(service: Bench, request: pytest.FixtureRequest) -> Inbox:
    await service.pool.execute(
        'CREATE TABLE seen (topic text, partition int, "offset" bigint, key text, version text,'
        ' UNIQUE (topic, partition, "offset"))'
    )
    return Inbox(service, service.topics[service.family.topic(Lane.EXPRESS)], batch=request.param)


@asynccontextmanager
async def producing(service: Bench) -> AsyncIterator[Any]:
    producer = kafka.producer(service.bootstrap)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send(service: Bench, topic: str, *keys: str, version: str = "1.1") -> None:
    async with producing(service) as producer:
        for k in keys:
            encoded = envelope.encode(Permissions(version=version, subject=k), key=k, source="consents")
            await producer.send_and_wait(topic, encoded.value, encoded.key, headers=encoded.headers)


async def test_takes_in_and_goes_on_after_a_restart(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[bytes] = []
    original = envelope.read

    def read(carries: Any, raw_key: Any, *rest: Any) -> Any:
        reads.append(raw_key)
        return original(carries, raw_key, *rest)

    monkeypatch.setattr(envelope, "read", read)
    first, second = [key() for _ in range(20)], [key() for _ in range(20)]
    await send(inbox.bench, inbox.topic.name, *first)
    async with inbox.running():
        await until(lambda: inbox.has_seen(*first), "not taken in")
    await send(inbox.bench, inbox.topic.name, *second)
    async with inbox.running():
        await until(lambda: inbox.has_seen(*second), "not taken in after the restart")
    assert inbox.projection.calls == len(reads) == 40, "nothing is read again after a restart"


async def test_a_transient_failure_is_tried_again_and_others_go_on(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topic_reader, "_BACKOFF", (0.05, 0.2))
    stuck = key()
    behind = _in_partition_of(stuck)
    others = [key() for _ in range(12)]
    inbox.projection.fail[stuck] = OSError("the database is away")
    async with inbox.running():
        await send(inbox.bench, inbox.topic.name, stuck, behind)
        await send(inbox.bench, inbox.topic.name, *(k for k in others if not _same(k, stuck)))
        elsewhere = [k for k in others if not _same(k, stuck)]
        await until(lambda: inbox.has_seen(*elsewhere), "other partitions wait")
        await asyncio.sleep(1)
        assert not await inbox.has_seen(behind), "something behind it was taken in first"
        inbox.projection.fail.clear()
        await until(lambda: inbox.has_seen(stuck, behind), "it is not tried again")
    assert [k for k, _ in await inbox.seen() if k in (stuck, behind)] == [stuck, behind]


def _same(one: str, other: str) -> bool:
    return kafka.partition_of(one.encode(), 6) == kafka.partition_of(other.encode(), 6)


def _in_partition_of(k: str) -> str:
    return next(other for other in iter(key, None) if _same(other, k))


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (PermanentError("subject: is nobody of ours"), "subject: is nobody of ours"),
        (asyncpg.DataError("invalid byte sequence"), "value: cannot be stored by the database"),
    ],
)
async def test_permanent_failures_go_to_quarantine_and_deny_their_key(
    inbox: Inbox, failure: Exception, reason: str
) -> None:
    bad, good = key(), key()
    inbox.projection.fail[bad] = failure
    await send(inbox.bench, inbox.topic.name, bad, good, version="3.4")
    async with inbox.running():
        await until(lambda: inbox.has_seen(bad, good), "not handled")
    assert dict(await inbox.seen()) == {bad: "denied", good: "3.4"}
    quarantine = quarantine_of(inbox.bench, inbox.subscriptions)
    kept = await quarantine.listed()
    assert [k.reason for k in kept] == [reason]
    inbox.projection.fail.clear()
    await inbox.bench.pool.execute("DELETE FROM seen")
    await quarantine.replay(kept[0].id, by="a test")
    assert await inbox.seen() == [(bad, "3.4")]
    assert await quarantine.listed() == []
    with pytest.raises(NotQuarantinedError):
        await quarantine.discard(kept[0].id, by="a test")


async def test_poison_of_every_kind_is_quarantined_and_the_rest_applied(inbox: Inbox) -> None:
    topic, last = inbox.topic.name, [key() for _ in range(12)]
    readable = envelope.encode(Permissions(version="2.1", subject=(k := key())), key=k, source="consents")
    poison: list[tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]] = [
        (readable.key, b"{", [*readable.headers]),
        (readable.key, readable.value, [*readable.headers, ("x", None)]),
        (readable.key, readable.value, [*readable.headers, ("x", b"\xff\xfe")]),
        (readable.key, readable.value, []),
        (
            readable.key,
            readable.value,
            [(n, v.replace(b":consents", b":customers")) for n, v in readable.headers],
        ),
        (readable.key, b"\x00", [*readable.headers, ("nul\x00", b"\x00")]),
        (b"not a key", readable.value, [*readable.headers]),
        (b"\xff\xff", readable.value, [*readable.headers]),
        (readable.key, b"x" * 300_000, [*readable.headers]),
        (readable.key, readable.value, [(n, v.replace(b".v1", b".v9")) for n, v in readable.headers]),
    ]
    async with producing(inbox.bench) as producer:
        for raw_key, value, headers in poison:
            await producer.send_and_wait(topic, value, raw_key, headers=headers)
    await send(inbox.bench, topic, *last)
    async with inbox.running():
        await until(lambda: inbox.has_seen(*last), "what is behind it waits")
    kept = await inbox.bench.pool.fetch("SELECT reason, keyless FROM quarantine ORDER BY id")
    assert len(kept) == len(poison)
    assert any(row["reason"].startswith("ce_source: is not that") for row in kept)
    denied = [version for k, version in await inbox.seen() if k == readable.key.decode()]
    assert denied == ["denied"] * 7, "every one with a key and a version denies it"
    assert sum(row["keyless"] for row in kept) == 3


async def test_null_keys_and_values_of_a_report_topic(service: Bench) -> None:
    """A topic without compaction takes a null key: each message counts, so it is kept."""
    await service.pool.execute(
        'CREATE TABLE seen (topic text, partition int, "offset" bigint, key text, version text)'
    )
    topic = Topic(
        f"company.t{secrets.token_hex(4)}.reports.v1", "company.t", (), (Report,), _retained(3_600_000)
    )
    await kafka.create_topics(service.bootstrap, [topic])
    headers = envelope.headers(Report.type_name(), key="any", source="company.t")
    report = Report(
        id=uuid4(), what="delivery", campaign=uuid4(), subject=key(), channel="email", at=datetime.now(UTC)
    )
    inbox = Inbox(service, topic, batch=False)
    async with producing(service) as producer:
        for control in (b"!beat", b"!x"):
            content = report.model_dump_json().encode()
            await producer.send_and_wait(topic.name, content, control, headers=headers)
        for k, value in ((None, b"{}"), (b"k", None), (b"k", b"{}")):
            await producer.send_and_wait(topic.name, value, k, headers=headers)
    async with inbox.running():
        await until(lambda: _quarantined(service, 3), "passed over")
        await until(lambda: inbox.has_seen("!beat", "!x"), "passed over as if they were control records")
    rows = await service.pool.fetch("SELECT keyless FROM quarantine")
    assert not any(row["keyless"] for row in rows), "no key to deny in a topic without state"


async def _quarantined(service: Bench, count: int) -> bool:
    return bool(await service.pool.fetchval("SELECT count(*) = $1 FROM quarantine", count))


async def test_two_processes_share_and_nothing_is_taken_in_twice(inbox: Inbox) -> None:
    """Effects have a unique place: a second application would raise, and be tried for ever."""
    other = Inbox(inbox.bench, inbox.topic, batch=inbox.batch)
    keys = [key() for _ in range(60)]
    async with inbox.running():
        await send(inbox.bench, inbox.topic.name, *keys[:20])
        await until(lambda: inbox.has_seen(*keys[:20]), "not taken in")
        async with other.running():
            await send(inbox.bench, inbox.topic.name, *keys[20:40])
            await until(lambda: inbox.has_seen(*keys[:40]), "not taken in by two", 30)
        await send(inbox.bench, inbox.topic.name, *keys[40:])
        await until(lambda: inbox.has_seen(*keys), "not taken in after one left", 30)
    assert len(await inbox.seen()) == 60


async def test_a_topic_made_anew_is_read_from_its_beginning(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiokafka.admin import AIOKafkaAdminClient

    from kielto.service.inbox import watchdog

    monkeypatch.setattr(watchdog, "_SECONDS", 0.3)
    before, after = [key() for _ in range(5)], [key() for _ in range(5)]
    await inbox.bench.pool.execute("ALTER TABLE seen DROP CONSTRAINT seen_topic_partition_offset_key")
    async with inbox.running():
        await send(inbox.bench, inbox.topic.name, *before)
        await until(lambda: inbox.has_seen(*before), "not taken in")
        admin: Any = AIOKafkaAdminClient(bootstrap_servers=inbox.bench.bootstrap)
        await admin.start()
        await admin.delete_topics([inbox.topic.name])
        await admin.close()
        await asyncio.sleep(1)
        await kafka.create_topics(inbox.bench.bootstrap, [inbox.topic])
        await send(inbox.bench, inbox.topic.name, *after)
        await until(lambda: inbox.has_seen(*after), "the new topic's messages are passed over", 40)


async def test_kafka_and_topics_may_come_later(service: Bench) -> None:
    inbox = Inbox(service, service.topics[service.family.topic(Lane.BULK)], batch=True)
    running = Consumers(
        "late", "127.0.0.1:1", service.pool, {inbox.topic.name: inbox.topic}, inbox.subscriptions, CIPHER
    )
    task = asyncio.create_task(running.run())
    await asyncio.sleep(0.5)
    assert not task.done()
    running.stop()
    await asyncio.wait_for(task, 10)


class Ill(str):
    """A header's name whose bytes are no UTF-8."""

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


async def test_a_headers_name_that_is_no_text_stops_nobody(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a batch: aiokafka alone would raise at it for ever."""
    monkeypatch.setattr(message_accumulator, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
    beside = [key()]
    beside += [_in_partition_of(beside[0]) for _ in range(4)]
    async with producing(inbox.bench) as producer:
        batch = producer.create_batch()
        for place, k in enumerate(beside):
            encoded = envelope.encode(Permissions(version="1.1", subject=k), key=k, source="consents")
            extra = [(Ill("x"), b"1")] if place in (1, 3) else []
            batch.append(
                timestamp=None, key=encoded.key, value=encoded.value, headers=[*encoded.headers, *extra]
            )
        partition = kafka.partition_of(beside[0].encode(), 6)
        await (await producer.send_batch(batch, inbox.topic.name, partition=partition))
    monkeypatch.undo()
    await send(inbox.bench, inbox.topic.name, *(last := [key() for _ in range(8)]))
    async with inbox.running():
        await until(lambda: inbox.has_seen(*beside, *last), "what is behind it waits")
    seen = dict(await inbox.seen())
    assert [seen[k] for k in beside] == ["1.1", "denied", "1.1", "denied", "1.1"]
    assert await _quarantined(inbox.bench, 2)


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({"group_id": "g", "auto_offset_reset": "earliest"}, "ack_policy"),
        ({"group_id": "g", "auto_offset_reset": "earliest", "ack_policy": AckPolicy.ACK}, "ack_policy"),
        ({"auto_offset_reset": "earliest", "ack_policy": AckPolicy.MANUAL}, "group"),
        ({"group_id": "g", "ack_policy": AckPolicy.MANUAL}, "auto_offset_reset"),
        ({"group_id": "g", "auto_offset_reset": "earliest", "ack_policy": AckPolicy.MANUAL}, "positions"),
    ],
)
async def test_an_unsafe_subscriber_is_refused(options: dict[str, Any], rule: str) -> None:
    broker = KafkaBroker("127.0.0.1:1", logger=None)
    subscriber = broker.subscriber("t", **options)
    with pytest.raises(UnsafeSubscriberError, match=rule):
        consumers.check(broker)
    assert subscriber is not None  # the broker itself holds it weakly
