"""The other services and the companies, as marketing sees them on Kafka: they write records, beats and reports."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.base import Event
from kielto.events.envelope import Headers, Read
from kielto.events.topics import CONSENTS, CUSTOMERS, PARTITIONS, Lane
from kielto.kafka import TopicPartition, partition_of

BEAT_SECONDS = 0.3


class MarketingNeighbours:
    def __init__(self, bootstrap: str, producer: Any) -> None:
        self._bootstrap, self._producer = bootstrap, producer
        self._term = 0

    async def write(self, topic: str, source: str, *events: Event) -> None:
        """Each under the key of its subject; returns when the broker has them all."""
        sent = []
        for event in events:
            key = str(getattr(event, "subject"))  # noqa: B009 - not every event has one
            sent.append(await self._send(topic, *envelope.encode(event, key=key, source=source)))
        await asyncio.gather(*sent)

    async def write_raw(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        await (await self._send(topic, key, value, headers))

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> "asyncio.Future[Any]":
        sent: asyncio.Future[Any] = await self._producer.send(
            topic, value, key, partition=partition_of(key, PARTITIONS), headers=list(headers)
        )
        return sent

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """consents and customers beat, so that what marketing holds is fresh."""
        self._term += 1
        task = asyncio.create_task(self._beat(self._term))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _beat(self, term: int) -> None:
        for n in range(1_000_000):
            beat = control.Beat(epoch=1, term=term, n=n, generation=0, at=datetime.now(UTC))
            sent = []
            for family in (CONSENTS, CUSTOMERS):
                key, value, headers = envelope.encode(beat, key=control.BEAT, source=family.writer)
                for partition in range(PARTITIONS):
                    topic = family.topic(Lane.EXPRESS)
                    sent.append(
                        await self._producer.send(topic, value, key, partition=partition, headers=headers)
                    )
            await asyncio.gather(*sent, asyncio.sleep(BEAT_SECONDS))

    async def read_all(self, topic: str, carries: Sequence[type[Event]]) -> list[Read]:
        """Everything that stands in the topic now, in the order of each partition."""
        consumer = kafka.consumer(self._bootstrap)
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            consumer.assign(partitions)
            ends = await kafka.end_offsets(consumer, partitions)
            for partition in partitions:
                consumer.seek(partition, 0)
            found: list[Read] = []
            while any([await consumer.position(p) < ends[p] for p in partitions]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        read = envelope.read(carries, record.key, record.value, record.headers)
                        assert isinstance(read, Read)
                        found.append(read)
            return found
        finally:
            await consumer.stop()


@asynccontextmanager
async def others(bootstrap: str) -> AsyncIterator[MarketingNeighbours]:
    producer = kafka.producer(bootstrap, linger_ms=5)
    await producer.start()
    try:
        yield MarketingNeighbours(bootstrap, producer)
    finally:
        await producer.stop()
