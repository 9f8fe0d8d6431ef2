"""Topics that refuse a record for good: each waits by itself, and the lane goes on with the others.

Too large for the topic, or no longer ours to write: no later attempt with the same producer helps, unlike when
the broker is away. What was refused stays marked, and its topic is tried again with backoff. An idempotent
producer cannot go on in a partition that refused a batch (the sequence has a gap), so such a topic gets a
producer of its own.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from kielto import kafka
from kielto.events.topics import Family, Lane
from kielto.service.support import metrics

log = structlog.get_logger(__name__)

BACKOFF = (1.0, 60.0)


class Producers:
    """In place of one producer where a lane delivers; `renew` gives a topic one of its own."""

    def __init__(self, shared: Any, bootstrap: str, security: kafka.Security) -> None:
        self._shared, self._bootstrap, self._security = shared, bootstrap, security
        self._own: dict[str, Any] = {}

    def create_batch(self) -> Any:
        return self._shared.create_batch()

    async def send_batch(self, builder: Any, topic: str, *, partition: int) -> Any:
        return await self._own.get(topic, self._shared).send_batch(builder, topic, partition=partition)

    async def renew(self, topic: str) -> None:
        """Raises one of DOWN."""
        if (old := self._own.pop(topic, None)) is not None:
            await kafka.abort(old)
        self._own[topic] = kafka.producer(self._bootstrap, security=self._security)
        await self._own[topic].start()

    async def abort(self) -> None:
        """Those of single topics; the shared one is its maker's."""
        for producer in self._own.values():
            await kafka.abort(producer)


class Refusals:
    """Which topics wait, and until when; by the monotonic clock, for one leadership of a lane."""

    def __init__(self, producers: Producers) -> None:
        self._producers = producers
        self._until: dict[str, tuple[float, float]] = {}

    def waits(self, topic: str) -> bool:
        """Nothing is sent to it now."""
        return time.monotonic() < self._until.get(topic, (0.0, 0.0))[0]

    def waiting(self) -> list[str]:
        return [topic for topic in self._until if self.waits(topic)]

    def going(self, families: Mapping[str, Family], lane: Lane) -> dict[str, Family]:
        """The families whose topic of this lane does not wait."""
        return {name: family for name, family in families.items() if not self.waits(family.topic(lane))}

    async def note(self, sent: Iterable[str], refusing: Mapping[str, BaseException]) -> None:
        """What came of a delivery: to which topics, and which of them refused. Raises one of DOWN."""
        for topic in set(sent) - set(refusing):
            if not self.waits(topic):
                self._until.pop(topic, None)
        for topic, error in refusing.items():
            kind = type(error).__name__
            _, seconds = self._until.get(topic, (0.0, BACKOFF[0] / 2))
            seconds = min(seconds * 2, BACKOFF[1])
            metrics.RELAY_REFUSED.labels(topic, kind).inc()
            log.error("relay.record_refused", topic=topic, error=kind, again_in=seconds)
            self._until[topic] = (time.monotonic() + seconds, seconds)
            await self._producers.renew(topic)
