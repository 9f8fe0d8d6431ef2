"""Limit bulk work while decisions arrive: imports and their consequences then use only a share of the time.

A process has one event loop, and a bulk import can fill it, so a ban would wait behind the import. Arriving decisions
are noticed on our own restrictions topic, which every decision passes whichever process took it; it is read from its
end.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson

from kielto import kafka
from kielto.events.topics import CONSENTS, PARTITIONS
from kielto.service.support.supervise import Backoff, supervise

SECONDS = 10.0
"""How long the limit stays after a decision: more usually follow."""
PORTION = 50
"""Rows or records in one transaction meanwhile: about 50 ms of work."""
_LOOK_SECONDS = 1.0


class BulkThrottle:
    """`share`: the part of its time, above 0 and at most 1, that bulk work may use while decisions arrive."""

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._until = float("-inf")

    def noticed(self) -> None:
        """Begin or extend the limit, because a decision arrived."""
        self._until = self._clock() + SECONDS

    @property
    def due(self) -> bool:
        return self._share < 1.0 and self._clock() < self._until

    def portion(self, many: int) -> int:
        """How many of `many` items to process in one transaction."""
        return min(many, PORTION) if self.due else many

    async def rest(self, worked: float) -> None:
        """Wait after `worked` seconds of bulk work, in proportion to the share; ends early when no decisions arrive."""
        left = worked * (1.0 / self._share - 1.0)
        while self.due and left > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            left -= _LOOK_SECONDS

    async def listen(
        self, bootstrap: str, topic: str | None = CONSENTS.express, *, security: kafka.Security = kafka.CLEAR
    ) -> None:
        """Listen for decisions until cancelled. While Kafka is down no decision is noticed, and none can travel."""
        places = [kafka.TopicPartition(topic, partition) for partition in range(PARTITIONS)]

        async def read() -> None:
            async with kafka.started(kafka.consumer(bootstrap, security=security)) as client:
                ends = await kafka.end_offsets(client, places)
                client.assign(places)
                for place in places:  # nothing may be awaited between assignment and seek
                    client.seek(place, ends[place])
                await self._hear(client, places)

        await supervise("bulk throttle", read, (*kafka.DOWN, kafka.KafkaError), Backoff(1.0, 10.0))

    async def _hear(self, client: Any, places: list[kafka.TopicPartition]) -> None:
        """Poll once a second: an open fetch would wake this process at every decision."""
        while True:
            client.resume(*places)
            fetched = await client.getmany(timeout_ms=500)
            client.pause(*places)
            if any(_says_somebody(record) for records in fetched.values() for record in records):
                self.noticed()
            await asyncio.sleep(_LOOK_SECONDS)


def _says_somebody(record: Any) -> bool:
    """Whether the record follows from a decision: heartbeats and changed facts are on the topic too."""
    if record.key.startswith(b"!") or record.value is None:
        return False
    try:
        return bool(orjson.loads(record.value).get("decision"))
    except (orjson.JSONDecodeError, AttributeError):
        return False


NOBODY = BulkThrottle()
"""Never limits anything."""
