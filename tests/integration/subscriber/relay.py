"""Writes a party's topics on the real broker as consents and its relays would: records, beats, backfills."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from kielto import kafka
from kielto.events.base import Event
from kielto.events.control import BEAT, SNAPSHOT, AboutParty, Beat, SnapshotComplete, Taken
from kielto.events.envelope import Read, encode, read
from kielto.events.messages import Acknowledgement, Decision
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane, acks, all_topics, decisions, permissions_of
from kielto.kafka import TopicPartition


def new_party() -> str:
    """A company of the test's own, so that tests can share one broker."""
    return f"company.t{secrets.token_hex(6)}"


class HandDrivenRelay:
    """Beats go out every `beat_seconds` while `beating` is set; `taken` is what they say of the decisions topic,
    `about` what of the party.
    """

    def __init__(self, bootstrap: str, party: str, beat_seconds: float = 0.25) -> None:
        self.bootstrap, self.party, self.beat_seconds = bootstrap, party, beat_seconds
        self.family = permissions_of(party)
        self.epoch, self.term, self.n, self.generation = 1, 1, 0, 0
        self.taken: tuple[Taken, ...] = ()
        self.about: AboutParty | None = None
        self.beating = asyncio.Event()
        self.producer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.create()
        self.producer = kafka.producer(self.bootstrap, linger_ms=5)
        await self.producer.start()
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await kafka.abort(self.producer)

    async def create(self, *names: str) -> None:
        """The party's topics, or only those of these names."""
        own = [t for t in all_topics([self.party]) if t.name.startswith(f"{self.party}.")]
        await kafka.create_topics(self.bootstrap, [t for t in own if not names or t.name in names])

    async def recreate(self, *names: str) -> None:
        async with kafka.topics._admin(self.bootstrap, kafka.CLEAR) as admin:
            await admin.delete_topics(list(names))
            while set(names) & set(await admin.list_topics()):  # noqa: ASYNC110 - only the broker can tell
                await asyncio.sleep(0.05)
        await self.create(*names)

    async def put(self, lane: Lane, *events: Permissions) -> list[tuple[int, int]]:
        """Returns when the broker has them all; in which partition it put each, at which offset."""
        sent = []
        for event in events:
            message = encode(event, key=event.subject, source="consents")
            sent.append(await self.raw(lane, message.key, message.value, message.headers))
        return [(told.partition, told.offset) for told in await asyncio.gather(*sent)]

    async def raw(
        self, lane: Lane, key: bytes, value: bytes | None, headers: Any, partition: int | None = None
    ) -> Any:
        """The future of the broker's answer."""
        topic = self.family.topic(lane)
        return await self.producer.send(topic, value, key=key, headers=headers, partition=partition)

    async def control(self, lane: Lane, key: str, events: Iterable[Event]) -> None:
        sent = []
        for partition, event in enumerate(events):
            message = encode(event, key=key, source="consents")
            sent.append(await self.raw(lane, message.key, message.value, message.headers, partition))
        await asyncio.gather(*sent)

    async def backfill(self, *events: Permissions, finish: bool = True) -> None:
        begin = await self.ends()
        await self.put(Lane.BULK, *events)
        if finish:
            await self.finish(begin)

    async def ends(self) -> dict[TopicPartition, int]:
        places = [TopicPartition(self.family.topic(lane), p) for lane in Lane for p in range(PARTITIONS)]
        async with self.consumer() as consumer:
            return await kafka.end_offsets(consumer, places)

    async def finish(self, begin: dict[TopicPartition, int]) -> None:
        """`snapshot-complete` in every partition; from now on the beats carry the generation."""
        self.generation += 1
        express, bulk = (self.family.topic(lane) for lane in (Lane.EXPRESS, Lane.BULK))
        events = [
            SnapshotComplete(
                epoch=self.epoch,
                generation=self.generation,
                count=0,
                begin_restrictions=begin[TopicPartition(express, p)],
                begin_bulk=begin[TopicPartition(bulk, p)],
            )
            for p in range(PARTITIONS)
        ]
        await self.control(Lane.BULK, SNAPSHOT, events)
        self.beating.set()

    async def _beat(self) -> None:
        while True:
            await self.beating.wait()
            self.n += 1
            event = Beat(
                epoch=self.epoch, term=self.term, n=self.n, generation=self.generation, taken=self.taken,
                about=self.about, at=datetime.now(UTC),
            )  # fmt: skip
            try:
                await self.control(Lane.EXPRESS, BEAT, [event] * PARTITIONS)
            except kafka.KafkaError:
                self.n += 1  # an unknown answer: a number is skipped
            await asyncio.sleep(self.beat_seconds)

    async def take_in_decisions(self) -> None:
        """Say in the beats from now on that all decisions that are there were taken in."""
        topic = decisions(self.party)
        async with self.consumer() as consumer:
            ends = await kafka.end_offsets(consumer, [TopicPartition(topic, p) for p in range(PARTITIONS)])
            ids = await kafka.topic_ids(consumer, [topic])
        offsets = tuple(ends[TopicPartition(topic, p)] for p in range(PARTITIONS))
        self.taken = (Taken(topic=topic, topic_id=ids[topic], offsets=offsets),)

    async def acknowledged(self) -> list[Acknowledgement]:
        return [
            e for e in await self._all(acks(self.party), Acknowledgement) if isinstance(e, Acknowledgement)
        ]

    async def decided(self) -> list[Decision]:
        return [e for e in await self._all(decisions(self.party), Decision) if isinstance(e, Decision)]

    async def _all(self, topic: str, kind: type[Event]) -> list[Event]:
        found: list[tuple[int, int, Event]] = []
        async with self.consumer() as consumer:
            places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            consumer.assign(places)
            for place in places:
                consumer.seek(place, 0)
            ends = await kafka.end_offsets(consumer, places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    for r in batch:
                        item = read((kind,), r.key, r.value, r.headers)
                        assert isinstance(item, Read)
                        found.append((r.timestamp, r.offset, item.event))
        return [event for *_, event in sorted(found, key=lambda f: f[:2])]

    @contextlib.asynccontextmanager
    async def consumer(self) -> AsyncIterator[Any]:
        consumer = kafka.consumer(self.bootstrap)
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def topic_id(self, name: str) -> UUID:
        return (await kafka.topic_ids(self.producer, [name]))[name]
