"""Watch the consumers: restart them when a topic or the database was created again or a consumer hangs, and measure
the lag.

Offsets without a record are skipped here, since no consumer gets anything for them. Known causes: a consumer whose
group permission was lost stays dead after its return although its task is alive and a ping succeeds; a topic that was
deleted and created again starts at offset 0 under the same name.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.kafka import TopicPartition
from kielto.service.database import pool as postgres
from kielto.service.inbox import transactional
from kielto.service.inbox.topic_reader import TopicReader
from kielto.service.support import metrics

log = structlog.get_logger(__name__)

_SECONDS = 5.0
_LIFE_SECONDS = 0.5
_STUCK_SECONDS = 20.0


class RestartConsumersError(Exception):
    """The consumers must stop and start again; the message says why. `cause`: the kind of the error behind it, if
    known.
    """

    def __init__(self, rule: str, cause: str = "Restart") -> None:
        super().__init__(rule)
        self.cause = cause


async def topic_ids(client: Any, topics: Iterable[str]) -> dict[str, UUID]:
    """Raises RestartConsumersError when one is missing."""
    names = list(topics)
    ids = await kafka.topic_ids(client, names)
    if missing := sorted(set(names) - set(ids)):
        raise RestartConsumersError(f"topics are missing: {', '.join(missing)}")
    return ids


@dataclass(slots=True)
class Watchdog:
    """`client` is a started consumer without a group."""

    pool: postgres.Pool
    client: Any
    readers: Mapping[str, TopicReader]
    ids: Mapping[str, UUID]
    life: datetime
    _moved: dict[str, tuple[int, float]] = field(default_factory=dict)
    _stands: dict[TopicPartition, tuple[int, float]] = field(default_factory=dict)
    """By partition with something to read: the position, and since when it is that."""

    async def run(self) -> None:
        """Raises RestartConsumersError."""
        next_look = time.monotonic() + _SECONDS
        while True:
            await asyncio.sleep(_LIFE_SECONDS)
            try:
                if await transactional.life(self.pool) != self.life:
                    raise RestartConsumersError("PostgreSQL was restarted")
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + _SECONDS
                    await self._look()
            except (*kafka.DOWN, *postgres.AWAY) as error:
                log.info("consumers.not_watched", error=type(error).__name__)

    async def _look(self) -> None:
        if await topic_ids(self.client, self.readers) != self.ids:
            raise RestartConsumersError("a topic was deleted and created again")
        places = [TopicPartition(topic, p) for topic in self.readers for p in range(PARTITIONS)]
        ends = await kafka.end_offsets(self.client, places)
        begins = await self.client.beginning_offsets(places)
        # Asked before the positions: what is in hand now may be committed, and done with, when they are here.
        at_work = {topic for topic, reader in self.readers.items() if reader.retrying or reader.busy}
        positions = await transactional.positions(self.pool, self.ids)
        at = {p: max(positions.get((p.topic, p.partition), 0), begins[p]) for p in places}
        at |= await self._step_over(at, ends)
        self._stand(at, ends)
        for topic, reader in self.readers.items():
            own = [TopicPartition(topic, p) for p in range(PARTITIONS)]
            behind = sum(max(0, ends[p] - at[p]) for p in own)
            metrics.INBOX_LAG.labels(topic).set(behind)
            metrics.INBOX_STANDING.labels(topic).set(self._standing(own))
            if self._stuck(topic, sum(at[p] for p in own), behind) and topic not in at_work:
                cause = reader.cause or "Restart"
                raise RestartConsumersError(f"{topic}: messages wait, but none was read ({cause})", cause)

    async def _step_over(
        self, at: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, int]:
        """Skip where the position has not moved since the last look although something is behind it: perhaps no record
        is.
        """
        still = {p: position for p, position in at.items() if self._stands.get(p, (-1, 0.0))[0] == position}
        empty = await kafka.stepped_over(self.client, still, {p: ends[p] for p in still})
        for place, end in empty.items():
            place_at = (place.topic, place.partition, self.ids[place.topic])
            await transactional.step_over(self.pool, place_at, at[place], end, self.life)
        return empty

    def _stand(self, at: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]) -> None:
        now = time.monotonic()
        behind = {place: position for place, position in at.items() if position < ends[place]}
        before, self._stands = self._stands, {}
        for place, position in behind.items():
            known = before.get(place)
            self._stands[place] = known if known and known[0] == position else (position, now)

    def _standing(self, places: Iterable[TopicPartition]) -> float:
        """The longest time in seconds for which one of these positions has not moved although there is something to
        read.
        """
        now = time.monotonic()
        return max((now - self._stands[place][1] for place in places if place in self._stands), default=0.0)

    def _stuck(self, topic: str, position: int, behind: int) -> bool:
        """Whether the position has not moved for long while there was something to read all the time."""
        now = time.monotonic()
        before, since = self._moved.get(topic, (-1, now))
        if before != position or not behind:
            since = now
        self._moved[topic] = (position, since)
        return now - since > _STUCK_SECONDS
