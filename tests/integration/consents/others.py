"""The other services and the companies as consents sees them on Kafka, and what it has published there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.base import Event
from kielto.events.envelope import Headers, Read, UnknownControl
from kielto.events.topics import CUSTOMERS, PARTITIONS, Lane
from kielto.kafka import TopicPartition, partition_of

BEAT_SECONDS = 0.3


class Stood(NamedTuple):
    """A message and where it stands."""

    read: Read
    partition: int
    offset: int


class ConsentsNeighbours:
    def __init__(self, bootstrap: str, producer: Any) -> None:
        self._bootstrap, self._producer = bootstrap, producer

    async def write(self, topic: str, source: str, *events: tuple[str, Event]) -> None:
        """Each under its key; returns when the broker has them all."""
        await asyncio.gather(
            *[
                await self._send(topic, *envelope.encode(event, key=key, source=source))
                for key, event in events
            ]
        )

    async def write_raw(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        await (await self._send(topic, key, value, headers))

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> "asyncio.Future[Any]":
        sent: asyncio.Future[Any] = await self._producer.send(
            topic, value, key, partition=partition_of(key, PARTITIONS), headers=list(headers)
        )
        return sent

    @asynccontextmanager
    async def customers_beat(self, term: int) -> AsyncIterator[None]:
        task = asyncio.create_task(self._beat(term))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _beat(self, term: int) -> None:
        topic = CUSTOMERS.topic(Lane.EXPRESS)
        for n in range(1_000_000):
            beat = control.Beat(epoch=1, term=term, n=n, generation=0, at=datetime.now(UTC))
            key, value, headers = envelope.encode(beat, key=control.BEAT, source="customers")
            for partition in range(PARTITIONS):
                await self._producer.send_and_wait(topic, value, key, partition=partition, headers=headers)
            await asyncio.sleep(BEAT_SECONDS)

    async def topic_id(self, topic: str) -> UUID:
        return (await kafka.topic_ids(self._producer, [topic]))[topic]

    async def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition."""
        consumer = kafka.consumer(self._bootstrap)
        await consumer.start()
        try:
            places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            return {
                place.partition: end for place, end in (await kafka.end_offsets(consumer, places)).items()
            }
        finally:
            await consumer.stop()

    async def read_all(self, topic: str, carries: Sequence[type[Event]]) -> list[Stood]:
        """Everything that stands in the topic now, in the order of each partition."""
        consumer = kafka.consumer(self._bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await kafka.end_offsets(consumer, partitions)
            for partition in partitions:
                consumer.seek(partition, 0)
            found: list[Stood] = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        read = envelope.read(carries, record.key, record.value, record.headers)
                        if isinstance(read, UnknownControl):
                            continue  # the reconciliation asks there, too
                        assert isinstance(read, Read), read
                        found.append(Stood(read, record.partition, record.offset))
            return found
        finally:
            await consumer.stop()


@asynccontextmanager
async def others(bootstrap: str) -> AsyncIterator[ConsentsNeighbours]:
    producer = kafka.producer(bootstrap, linger_ms=5)
    await producer.start()
    try:
        yield ConsentsNeighbours(bootstrap, producer)
    finally:
        await producer.stop()
