"""Where our own topics end, by the broker: nobody can have read beyond."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.kafka import KafkaError, TopicPartition
from kielto.service.support.settings import ServiceSettings

Place = tuple[UUID, int]
"""Topic id and partition."""


class TopicEnds:
    """Remembers the highest end offsets that the broker gave, and asks again when somebody claims more."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._known: dict[Place, int] = {}
        self._client: Any = None
        self._lock = asyncio.Lock()

    async def known(self, claimed: Iterable[tuple[str, UUID, int, int]]) -> Mapping[Place, int]:
        """The ends of current topics, asked anew when one of these positions (topic, its id, partition, offset) lies
        above. A topic id that is missing here is not that of a current topic. Raises a fault of Kafka's.
        """
        above = {topic for topic, ident, part, at in claimed if at > self._known.get((ident, part), 0)}
        if above:
            async with self._lock:
                try:
                    await self._ask(sorted(above))
                except BaseException:
                    await self.close()
                    raise
        return self._known

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await kafka.close(client)

    async def _ask(self, topics: list[str]) -> None:
        if self._client is None:
            self._client = kafka.consumer(
                self._settings.kafka_bootstrap, security=self._settings.security, **kafka.UNCOMMITTED
            )
            await self._client.start()
        ids = await kafka.topic_ids(self._client, topics)
        places = [TopicPartition(topic, part) for topic in ids for part in range(PARTITIONS)]
        ends = await kafka.end_offsets(self._client, places)
        if await kafka.topic_ids(self._client, topics) != ids:
            raise KafkaError("a topic was deleted and created again meanwhile")
        for place, end in ends.items():
            at = ids[place.topic], place.partition
            self._known[at] = max(end, self._known.get(at, 0))
