"""Bulk work gives way to people: while bans come, imports and what follows from them take a share of the time only.

A process has one event loop, a machine few cores, and a bulk import fills them all. Without anybody waiting it may;
but a ban must not queue behind it. That somebody is waiting is heard where every ban passes by, whoever took it: on
our own restrictions topic, read from its end, remembered by nobody.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import orjson

from kielto import kafka
from kielto.events.topics import CONSENTS, PARTITIONS
from kielto.kafka import TopicPartition
from kielto.service.support.supervise import Backoff, supervise

SECONDS = 10.0
"""After a ban so long: who has just been heard is seldom the last."""
PORTION = 50
"""Rows or records in one transaction meanwhile: some 50 ms of work."""
_LOOK_SECONDS = 1.0


class BulkThrottle:
    """`share`: of its time that bulk work takes while people are waiting, above 0; 1 is all of it."""

    def __init__(self, share: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._share, self._clock = share, clock
        self._until = float("-inf")

    def noticed(self) -> None:
        """Somebody said no."""
        self._until = self._clock() + SECONDS

    @property
    def due(self) -> bool:
        return self._share < 1.0 and self._clock() < self._until

    def portion(self, many: int) -> int:
        """How much to take on at once where it would be `many`."""
        return min(many, PORTION) if self.due else many

    async def rest(self, worked: float) -> None:
        """After so many seconds of bulk work. A busy machine makes the work longer, and so the rest; it ends when
        nobody is waiting any more.
        """
        left = worked * (1.0 / self._share - 1.0)
        while self.due and left > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))
            left -= _LOOK_SECONDS

    async def listen(
        self, bootstrap: str, topic: str | None = CONSENTS.express, *, security: kafka.Security = kafka.CLEAR
    ) -> None:
        """For ever. While Kafka is away no decision is noticed, and none can travel."""
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]

        async def read() -> None:
            client = kafka.consumer(bootstrap, security=security)
            try:
                await client.start()
                ends = await kafka.end_offsets(client, places)
                client.assign(places)
                for place in places:  # nothing may be awaited between assignment and seek
                    client.seek(place, ends[place])
                await self._hear(client, places)
            finally:
                await kafka.close(client)

        await supervise("bulk throttle", read, (*kafka.DOWN, kafka.KafkaError), Backoff(1.0, 10.0))

    async def _hear(self, client: Any, places: list[TopicPartition]) -> None:
        """Now and then: a fetch that stands open would wake us at each ban, just when others are busy with it."""
        while True:
            client.resume(*places)
            fetched = await client.getmany(timeout_ms=500)
            client.pause(*places)
            if any(_says_somebody(record) for records in fetched.values() for record in records):
                self.noticed()
            await asyncio.sleep(_LOOK_SECONDS)


def _says_somebody(record: Any) -> bool:
    """Beats come there too, and what facts take away: an ended customership, an address that is gone."""
    if record.key.startswith(b"!") or record.value is None:
        return False
    try:
        return bool(orjson.loads(record.value).get("decision"))
    except (orjson.JSONDecodeError, AttributeError):
        return False


NOBODY = BulkThrottle()
"""Gives way to nobody."""
