"""Watching the consumers: a topic or a database that was made anew, a consumer that hangs, how far behind each is.

Sources: a consumer whose group permission was lost stays dead after its return although its task is alive and
a ping succeeds, and a topic that was deleted and created again has its offsets begin at 0 under the same
name.
"""

import asyncio
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.kafka import TopicPartition
from kielto.service import intake, postgres, telemetry
from kielto.service.postgres import Pool
from kielto.service.reader import Reader

log = structlog.get_logger(__name__)

_SECONDS = 5.0
_LIFE_SECONDS = 0.5
_STUCK_SECONDS = 20.0


class Restart(Exception):
    """The consumers must stop and begin again; says why."""


async def topic_ids(client: Any, topics: Iterable[str]) -> dict[str, UUID]:
    """Raises Restart when one is missing."""
    names = list(topics)
    ids = await kafka.topic_ids(client, names)
    if missing := sorted(set(names) - set(ids)):
        raise Restart(f"topics are missing: {', '.join(missing)}")
    return ids


class Watch:
    """`client` is a started consumer without a group."""

    def __init__(
        self,
        pool: Pool,
        client: Any,
        readers: Mapping[str, Reader],
        ids: Mapping[str, UUID],
        life: datetime,
    ) -> None:
        self._pool, self._client, self._readers, self._ids = pool, client, readers, ids
        self._life = life
        self._moved: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Raises Restart."""
        next_look = time.monotonic() + _SECONDS
        while True:
            await asyncio.sleep(_LIFE_SECONDS)
            try:
                if await intake.life(self._pool) != self._life:
                    raise Restart("the database's server was started anew")
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + _SECONDS
                    await self._look()
            except (*kafka.DOWN, *postgres.AWAY) as error:
                log.info("consumers not watched", error=type(error).__name__)

    async def _look(self) -> None:
        if await topic_ids(self._client, self._readers) != self._ids:
            raise Restart("a topic was made anew")
        places = [TopicPartition(topic, p) for topic in self._readers for p in range(PARTITIONS)]
        ends = await kafka.end_offsets(self._client, places)
        begins = await self._client.beginning_offsets(places)
        # Asked before the positions: what is in hand now may be committed, and done with, when they are here.
        at_work = {topic for topic, reader in self._readers.items() if reader.retrying or reader.busy}
        positions = await intake.positions(self._pool, self._ids)
        for topic in self._readers:
            read = [
                max(positions.get((topic, p), 0), begins[TopicPartition(topic, p)]) for p in range(PARTITIONS)
            ]
            behind = sum(max(0, ends[TopicPartition(topic, p)] - at) for p, at in enumerate(read))
            telemetry.lag.labels(topic).set(behind)
            if self._stuck(topic, sum(read), behind) and topic not in at_work:
                raise Restart(f"{topic}: nothing is read although there is something")

    def _stuck(self, topic: str, position: int, behind: int) -> bool:
        """Nobody has moved the position for long, all of which time there was something to read: what comes after a
        quiet time is given its time.
        """
        now = time.monotonic()
        before, since = self._moved.get(topic, (-1, now))
        if before != position or not behind:
            since = now
        self._moved[topic] = (position, since)
        return now - since > _STUCK_SECONDS
