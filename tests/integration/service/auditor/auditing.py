"""What the auditor's tests share: an auditor at work, and records that no relay of ours would write."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from kielto import kafka
from kielto.events import envelope
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane
from kielto.kafka import TopicPartition, partition_of
from kielto.service.auditor.auditor import Auditor
from kielto.service.outbox.heartbeats import BeatPlan
from kielto.service.outbox.relay import RelaySettings
from tests.integration.service.support import Bench
from tests.waiting import until


@asynccontextmanager
async def auditing(service: Bench) -> AsyncIterator["asyncio.Task[None]"]:
    """An auditor, killed (cancelled) at the end."""
    auditor = Auditor(RelaySettings("test", service.dsn, service.bootstrap, (service.family,), BeatPlan(1.0)))
    task = asyncio.create_task(auditor.run(asyncio.Event()))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def caught_up(service: Bench) -> None:
    """Everything that stands in the topics now is audited."""
    consumer = kafka.consumer(service.bootstrap)
    await consumer.start()
    try:
        places = [TopicPartition(topic, p) for topic in service.topics for p in range(PARTITIONS)]
        ends = await kafka.end_offsets(consumer, places)
    finally:
        await kafka.close(consumer)

    async def audited() -> bool:
        rows = await service.pool.fetch('SELECT topic, partition, "offset" FROM audit_positions')
        at = {(r["topic"], r["partition"]): r["offset"] for r in rows}
        return all(at.get((place.topic, place.partition), 0) >= end for place, end in ends.items())

    await until(audited, "not everything is audited")


async def findings(service: Bench) -> list[tuple[str, str | None, str]]:
    """(kind, key, state) of all, in the order in which they were found."""
    rows = await service.pool.fetch("SELECT kind, key, state FROM audit_findings ORDER BY id")
    return [(r["kind"], r["key"], r["state"]) for r in rows]


async def all_repaired(service: Bench, count: int) -> None:
    async def done() -> bool:
        found = await findings(service)
        return len(found) >= count and all(state == "repaired" for _, _, state in found)

    await until(done, "not everything is repaired", seconds=30)


async def write(
    service: Bench,
    lane: Lane,
    key: str,
    version: str,
    *,
    raw_key: bytes | None = None,
    value: bytes | None = b"",
    partition: int | None = None,
) -> int:
    """What a zombie or somebody else writes; its offset. An empty `value` stands for a proper record's."""
    record = Permissions(version=version, subject=key)
    encoded = envelope.encode(record, key=key, source="consents")
    producer = kafka.producer(service.bootstrap)
    await producer.start()
    try:
        sent = await producer.send_and_wait(
            service.family.topic(lane),
            encoded.value if value == b"" else value,
            key=raw_key or encoded.key,
            headers=encoded.headers,
            partition=partition_of(encoded.key, PARTITIONS) if partition is None else partition,
        )
        return int(sent.offset)
    finally:
        await producer.stop()


async def last_versions(service: Bench, lane: Lane, key: str) -> list[str]:
    """All readable versions of the key in the lane's topic, in order."""
    entries: list[Any] = await service.log(lane)
    return [e.version for e in entries if e.key == key and isinstance(e.event, Permissions)]
