"""Reads the two topics from the store's positions, with one consumer for each lane, and probes end offsets.

It uses no consumer group: the store has the positions. When Kafka is away, or a topic is missing or forbidden, each
loop tries again for ever, and the gate becomes stale by itself.
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from kielto import kafka
from kielto.clock import clock
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.kafka import TopicPartition
from kielto.subscriber.columnar.batch_decode import SeenRecords
from kielto.subscriber.records.decode import CONTROL
from kielto.subscriber.support.brokers import MISSING, Brokers, ThrottledLog
from kielto.subscriber.sync.session import Session

log = logging.getLogger(__name__)
POLL_MS = 500
"""How long a fetch waits for a first record."""
MISSING_SECONDS = 0.1
"""The pause before the topic ids are asked for again."""
FETCHED = 250
"""Records taken from the client at once; unpacked, each takes about 2,000 bytes."""
FETCHES: dict[str, Any] = {"fetch_max_bytes": 1024 * 1024, "max_partition_fetch_bytes": 512 * 1024}
"""Limits of what the client fetches; it holds several fetches. No message is above half of the smaller limit."""
PORTION, PORTION_SHUT = 250, 6000
"""Records in one commit: few while the gate is open, so that a restriction on the other lane waits only shortly."""
MORE_MS, GATHER_SECONDS = 50, 0.5
"""While the gate is shut: how long a portion waits for the next fetch, and how long in all."""


class Following:
    """Feeds a session from the two topics of a party. Raises StoreLostError; retries after every error of Kafka."""

    def __init__(self, brokers: Brokers, family: Family, session: Session) -> None:
        self._brokers, self._session = brokers, session
        self.topics = {lane: family.topic(lane) for lane in Lane}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for lane in Lane:
                tasks.create_task(self._retry(f"read {lane}", functools.partial(self._read, lane)))
            # End offsets include open transactions: a beat in one of them is in the log too.
            tasks.create_task(self._retry("probe", self._probe, kafka.UNCOMMITTED))

    async def _retry(
        self, name: str, work: Callable[[Any], Awaitable[None]], isolation: dict[str, Any] = kafka.COMMITTED
    ) -> None:
        async def attempt() -> None:
            async with self._brokers.consumer(**FETCHES | isolation) as client:
                await self.verify(client)
                await work(client)

        await self._brokers.retry(name, attempt, "Kafka cannot be read", (*kafka.DOWN, kafka.KafkaError))

    async def verify(self, client: Any) -> None:
        """Ask for the topic ids now, and wait while a topic is missing. Raises errors of Kafka."""
        warnings = ThrottledLog(log)
        while missing := await self._ask(client):
            self._brokers.note("topics", MISSING)
            warnings.warn("topic %s is missing, or this Kafka user may not read it; waiting", missing)
            await asyncio.sleep(MISSING_SECONDS)
        self._brokers.works("topics")

    async def _ask(self, client: Any) -> str | None:
        """The name of a missing topic, or None."""
        ids = await kafka.topic_ids(client, list(self.topics.values()))
        for name in self.topics.values():
            if name not in ids:
                return name
        await self._session.verify_topics({lane: ids[name] for lane, name in self.topics.items()})
        return None

    async def _read(self, lane: Lane, consumer: Any) -> None:
        """Read until the topic was recreated; the caller then starts again."""
        topic = self._session.follower.state.topics[lane]
        places = [TopicPartition(self.topics[lane], partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        for place in places:  # nothing may be awaited between assignment and seek
            consumer.seek(place, self._session.follower.state.positions.get((lane, place.partition), 0))
        while self._session.follower.state.topics[lane] == topic:
            seen = await self._fetch(consumer)
            self._brokers.works(f"read {lane}")
            while seen and await self._take(lane, topic, seen, consumer):  # noqa: ASYNC110 - not waiting
                await asyncio.sleep(0)

    async def _fetch(self, consumer: Any) -> SeenRecords:
        """Fetch what there is; while the gate is shut, as much as one commit takes."""
        seen, until = SeenRecords(), float("inf")
        while fetched := await consumer.getmany(
            timeout_ms=MORE_MS if seen else POLL_MS, max_records=min(FETCHED, PORTION_SHUT - len(seen))
        ):
            until = until if seen else clock() + GATHER_SECONDS
            for records in fetched.values():
                seen.extend(self._session.tables.see(records))
            if len(seen) >= PORTION_SHUT or self._is_open() or clock() > until:
                break
            await asyncio.sleep(0)
        return seen

    async def _take(self, lane: Lane, topic: UUID, seen: SeenRecords, client: Any) -> bool:
        """Decode, apply and commit the first portion of `seen`, and remove it from there."""
        size = PORTION if self._is_open() else PORTION_SHUT
        block, batch = self._session.tables.read(seen.take(size))
        if any(isinstance(item, CONTROL) for _, _, item in batch):
            await self.verify(client)  # what opens a gate must come from the topics that are followed now
        return await self._session.apply(lane, topic, batch, block)

    def _is_open(self) -> bool:
        now = clock()
        return all(self._session.follower.gate(partition, now) is None for partition in range(PARTITIONS))

    async def _probe(self, client: Any) -> None:
        follower = self._session.follower
        places = [TopicPartition(self.topics[Lane.EXPRESS], partition) for partition in range(PARTITIONS)]
        while True:
            asked_at, topic = clock(), follower.state.topics[Lane.EXPRESS]
            ends = await kafka.end_offsets(client, places)
            await self.verify(client)
            self._brokers.works("probe")
            if follower.state.topics[Lane.EXPRESS] == topic:  # else these are ends of the one that is gone
                follower.probe(asked_at, {place.partition: end for place, end in ends.items()})
            await asyncio.sleep(min(1.0, follower.stale_seconds / 12))
