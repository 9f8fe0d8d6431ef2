"""Topics that reject a record permanently: each waits on its own while the lane goes on with the others.

The record is too large for the topic, or the topic is no longer ours to write: unlike when the broker is away, no later
attempt with the same producer helps. The record stays marked, and its topic is tried again with backoff. An idempotent
producer cannot continue in a partition that rejected a batch (the sequence has a gap), so the topic gets a new
producer.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import structlog

from kielto import kafka
from kielto.events.topics import Family, Lane
from kielto.service.outbox.batch_send import Delivered, LaneStoppedError
from kielto.service.support import metrics

log = structlog.get_logger(__name__)

BACKOFF = (1.0, 60.0)


class Producers:
    """Used like one producer by a lane; `renew` gives a topic a producer of its own."""

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
        """Stop the topics' own producers; the shared one belongs to the caller."""
        for producer in self._own.values():
            await kafka.abort(producer)


class Refusals:
    """Which topics wait, and until when (monotonic clock), for one leadership of a lane."""

    def __init__(self, producers: Producers) -> None:
        self._producers = producers
        self._until: dict[str, tuple[float, float]] = {}

    def waits(self, topic: str) -> bool:
        """Whether nothing is to be sent to the topic now."""
        return time.monotonic() < self._until.get(topic, (0.0, 0.0))[0]

    def waiting(self) -> list[str]:
        return [topic for topic in self._until if self.waits(topic)]

    def going(self, families: Mapping[str, Family], lane: Lane) -> dict[str, Family]:
        """The families whose topic of this lane does not wait."""
        return {name: family for name, family in families.items() if not self.waits(family.topic(lane))}

    async def note(self, sent: Iterable[str], delivered: Delivered) -> None:
        """Note the result of a delivery to these topics. Raises one of DOWN, or LaneStoppedError when something was not
        acknowledged, other than by a topic that rejects it.
        """
        if delivered.error:
            raise LaneStoppedError from delivered.error
        refusing = delivered.refused
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
