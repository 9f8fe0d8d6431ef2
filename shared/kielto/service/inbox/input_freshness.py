"""How fresh a service's inputs are: it withholds its heartbeats while they are stale (contract, Freshness).

The relay's process watches the heartbeats of the input topics, all partitions, and compares them with the positions in
the database, so it does not matter which process reads the messages.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from kielto import kafka
from kielto.clock import clock
from kielto.events import control, envelope
from kielto.events.base import Event
from kielto.events.topics import PARTITIONS, Topic
from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool
from kielto.service.inbox import transactional
from kielto.service.support.supervise import Backoff, supervise
from kielto.subscriber.replica.freshness import PROBES_KEPT, BeatNumber, Freshness

_LOOK_SECONDS = 0.2
_LOOKS_PER_CHECK = 25
_RETRIED = (*kafka.DOWN, *postgres.AWAY, kafka.KafkaError)

_SHUT = """
SELECT DISTINCT topic, partition FROM quarantine WHERE keyless AND state = 'open' AND topic =
ANY($1::text[])"""


class InputFreshness:
    """Watches the restrictions topics that a service reads. Nothing is fresh before `run()` has seen two heartbeats."""

    def __init__(self, bootstrap: str, pool: Pool, *, security: kafka.Security = kafka.CLEAR) -> None:
        self._bootstrap, self._pool, self._security = bootstrap, pool, security
        self._views: dict[tuple[str, int], Freshness] = {}
        self._waiting: dict[tuple[str, int], deque[tuple[int, BeatNumber]]] = {}
        """Beats that were read and are not taken in. While a partition stands still, the oldest are forgotten: they
        could only show what is long stale."""
        self._ids: dict[str, UUID] = {}
        self._carries: dict[str, tuple[type[Event], ...]] = {}
        self._shut: set[tuple[str, int]] = set()
        """Partitions with a message that nobody can say whom it denies (contract, Poison)."""

    def fresh(self, topics: Iterable[str], seconds: float) -> bool:
        """Whether every partition of these restrictions topics is applied as of at most `seconds` ago, by our own
        clock.
        """
        now = clock()
        places = [(topic, p) for topic in topics for p in range(PARTITIONS)]
        return all(
            place in self._views and place not in self._shut and self._views[place].age(now) <= seconds
            for place in places
        )

    async def run(self, topics: Sequence[Topic]) -> None:
        """Watch these topics until cancelled."""
        self._carries = {topic.name: topic.carries for topic in topics}
        if topics:
            await supervise("input freshness", self._read, _RETRIED, Backoff(1.0, 1.0))

    async def _read(self) -> None:
        # A view is as old as the whole log says, open transactions included; what counts is what was taken in.
        async with kafka.started(
            kafka.consumer(self._bootstrap, security=self._security, **kafka.UNCOMMITTED)
        ) as consumer:
            await self._begin(consumer)
            await self._watch(consumer)

    async def _begin(self, consumer: Any) -> None:
        """Start at the end: the consumers read what is before it, and every view starts anew."""
        self._ids = await kafka.topic_ids(consumer, list(self._carries))
        places = [kafka.TopicPartition(topic, p) for topic in self._ids for p in range(PARTITIONS)]
        consumer.assign(places)
        for place, end in (await kafka.end_offsets(consumer, places)).items():
            consumer.seek(place, end)
        self._views = {(place.topic, place.partition): Freshness() for place in places}
        self._waiting = {view: deque(maxlen=PROBES_KEPT) for view in self._views}

    async def _watch(self, consumer: Any) -> None:
        """Raises KafkaError when a topic was deleted and created again."""
        while await kafka.topic_ids(consumer, list(self._carries)) == self._ids:
            for _ in range(_LOOKS_PER_CHECK):
                await self._look(consumer)
        raise kafka.KafkaError("a topic was created again")

    async def _look(self, consumer: Any) -> None:
        await asyncio.sleep(_LOOK_SECONDS)  # at a steady pace: what comes between must not wake it each time
        asked_at = clock()
        places = [kafka.TopicPartition(topic, p) for topic, p in self._views]
        for place, end in (await kafka.end_offsets(consumer, places)).items():
            self._views[place.topic, place.partition].probe(asked_at, end)
        for place, records in (await consumer.getmany(timeout_ms=0)).items():
            self._waiting[place.topic, place.partition] += [b for r in records if (b := self._beat(r))]
        positions = await transactional.positions(self._pool, self._ids)
        self._shut = {(topic, p) for topic, p in await self._pool.fetch(_SHUT, list(self._ids))}
        for view, beats in self._waiting.items():
            while beats and beats[0][0] < positions.get(view, 0):
                offset, number = beats.popleft()
                self._views[view].beat(number, offset)

    def _beat(self, record: Any) -> tuple[int, BeatNumber] | None:
        if record.key != control.BEAT.encode():
            return None
        read = envelope.read(self._carries[record.topic], record.key, record.value, record.headers)
        if not isinstance(read, envelope.Read) or not isinstance(read.event, control.Beat):
            return None
        return record.offset, BeatNumber(read.event.epoch, read.event.term, read.event.n)
