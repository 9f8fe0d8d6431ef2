"""The broker of a world: topics in memory, written by the outbox and by parties, read by the services' own intake.

Everything else of the way is the services' own: what a relay would send, byte for byte, and what a consumer would take.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import NAMESPACE_URL, UUID, uuid5

from kielto.events import envelope
from kielto.events.base import Event
from kielto.events.topics import PARTITIONS
from kielto.kafka import partition_of

Place = tuple[str, int]


class LogRecord(NamedTuple):
    """As aiokafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class MemoryLog:
    def __init__(self) -> None:
        self._records: dict[Place, list[LogRecord]] = defaultdict(list)

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Sequence[tuple[str, bytes]],
        partition: int | None = None,
    ) -> int:
        """The offset."""
        place = topic, partition_of(key or b"", PARTITIONS) if partition is None else partition
        records = self._records[place]
        at = round(time.time() * 1000)
        records.append(LogRecord(*place, len(records), at, key, value, headers))
        return len(records) - 1

    def write(self, topic: str, key: str, event: Event, source: str) -> None:
        self.append(topic, *envelope.encode(event, key=key, source=source))

    def since(self, topic: str, partition: int, offset: int) -> list[LogRecord]:
        return self._records[topic, partition][offset:]

    def of(self, topic: str) -> Iterator[LogRecord]:
        for partition in range(PARTITIONS):
            yield from self._records[topic, partition]

    def end(self, topic: str, partition: int) -> int:
        return len(self._records[topic, partition])


def topic_id(topic: str) -> UUID:
    return uuid5(NAMESPACE_URL, topic)


class Ends:
    """In the place of `TopicEnds`, which would ask a broker."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    async def known(self, claimed: Iterable[tuple[str, UUID, int, int]]) -> Mapping[tuple[UUID, int], int]:
        return {
            (topic_id(topic), part): self._log.end(topic, part)
            for topic in {topic for topic, *_ in claimed}
            for part in range(PARTITIONS)
        }
