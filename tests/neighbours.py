"""What stands around a service under test on Kafka: other services and companies that write, and what it published."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self
from uuid import UUID

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.base import Event
from kielto.events.envelope import Headers, Read, UnknownControl
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.kafka import TopicPartition, partition_of

BEAT_SECONDS = 0.3


class Stood(NamedTuple):
    """A message and where it stands."""

    read: Read
    partition: int
    offset: int


class Neighbours:
    def __init__(self, bootstrap: str, producer: Any) -> None:
        self._bootstrap, self._producer, self._term = bootstrap, producer, 0

    @classmethod
    @asynccontextmanager
    async def beside(cls, bootstrap: str) -> AsyncIterator[Self]:
        producer = kafka.producer(bootstrap, linger_ms=5)
        await producer.start()
        try:
            yield cls(bootstrap, producer)
        finally:
            await producer.stop()

    async def write(self, topic: str, source: str, *events: tuple[str, Event]) -> None:
        """Each under its key; returns when the broker has them all."""
        await asyncio.gather(
            *[
                await self._send(topic, *envelope.encode(event, key=key, source=source))
                for key, event in events
            ]
        )

    async def write_states(self, topic: str, source: str, *events: Event) -> None:
        """Each under the key of its subject; returns when the broker has them all."""
        keyed = [(str(getattr(event, "subject")), event) for event in events]  # noqa: B009 - not every event has one
        await self.write(topic, source, *keyed)

    async def write_raw(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        await (await self._send(topic, key, value, headers))

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> "asyncio.Future[Any]":
        sent: asyncio.Future[Any] = await self._producer.send(
            topic, value, key, partition=partition_of(key, PARTITIONS), headers=list(headers)
        )
        return sent

    @asynccontextmanager
    async def beating(self, *families: Family) -> AsyncIterator[None]:
        """The families' writers beat, so that what the service holds of them is fresh."""
        self._term += 1
        task = asyncio.create_task(self._beat(self._term, families))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _beat(self, term: int, families: Sequence[Family]) -> None:
        for n in range(1_000_000):
            beat = control.Beat(epoch=1, term=term, n=n, generation=0, at=datetime.now(UTC))
            sent = []
            for family in families:
                key, value, headers = envelope.encode(beat, key=control.BEAT, source=family.writer)
                topic = family.topic(Lane.EXPRESS)
                sent += [
                    await self._producer.send(topic, value, key, partition=partition, headers=headers)
                    for partition in range(PARTITIONS)
                ]
            await asyncio.gather(*sent)
            await asyncio.sleep(BEAT_SECONDS)

    async def topic_id(self, topic: str) -> UUID:
        return (await kafka.topic_ids(self._producer, [topic]))[topic]

    async def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition."""
        async with self._reader(topic) as (consumer, places):
            return {
                place.partition: end for place, end in (await kafka.end_offsets(consumer, places)).items()
            }

    async def read(self, topic: str, carries: Sequence[type[Event]]) -> list[Read]:
        """Every message that stands in the topic now, in the order of each partition."""
        return [stood.read for stood in await self.read_all(topic, carries)]

    async def read_all(self, topic: str, carries: Sequence[type[Event]]) -> list[Stood]:
        """Everything that stands in the topic now, in the order of each partition."""
        async with self._reader(topic) as (consumer, places):
            consumer.assign(places)
            ends = await kafka.end_offsets(consumer, places)
            for place in places:
                consumer.seek(place, 0)
            found: list[Stood] = []
            while any([await consumer.position(p) < ends[p] for p in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        read = envelope.read(carries, record.key, record.value, record.headers)
                        if isinstance(read, UnknownControl):
                            continue  # the reconciliation asks there, too
                        assert isinstance(read, Read), read
                        found.append(Stood(read, record.partition, record.offset))
            return found

    @asynccontextmanager
    async def _reader(self, topic: str) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
        consumer = kafka.consumer(self._bootstrap)
        await consumer.start()
        try:
            yield consumer, [TopicPartition(topic, p) for p in range(PARTITIONS)]
        finally:
            await consumer.stop()
