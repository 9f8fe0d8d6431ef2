"""Reading one topic: where to continue after a rebalance, and what to do when processing fails."""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

import structlog

from kielto import kafka
from kielto.kafka import TopicPartition
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import Pool
from kielto.service.inbox import transactional
from kielto.service.inbox.transactional import Intake
from kielto.service.support import metrics
from kielto.service.support.bulk_throttle import BulkThrottle
from kielto.service.support.logs import where

log = structlog.get_logger(__name__)

_BACKOFF = (0.1, 10.0)
_RETRYING_SECONDS = 2 * _BACKOFF[1]
_HANGING_SECONDS = 60.0  # longer than the database lets any command take
_NOTHING, _RESTING = float("-inf"), float("inf")


class TransientError(Exception):
    """Some partitions' messages were not processed; each is to be read again from the given offset."""

    def __init__(self, failures: Sequence[tuple[TopicPartition, int, BaseException]]) -> None:
        super().__init__(len(failures))
        self.failures = failures

    @classmethod
    def whole(cls, records: Sequence[Any], error: BaseException) -> "TransientError":
        """An error that makes everything that was polled be read again."""
        return cls([(place, part[0].offset, error) for place, part in by_partition(records)])


def polled(raw: Any) -> Sequence[Any]:
    """FastStream hands over one record, or a tuple of them; aiokafka's record is no tuple but looks like
    one.
    """
    return (raw,) if hasattr(raw, "offset") else raw


def by_partition(records: Sequence[Any]) -> Iterator[tuple[TopicPartition, list[Any]]]:
    for place, part in groupby(records, key=lambda record: TopicPartition(record.topic, record.partition)):
        yield place, list(part)


class TopicReader(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Also the consumer's rebalance listener. The position is sought without an await, or old records slip
    through.
    """

    def __init__(self, pool: Pool, taking: Intake, throttle: BulkThrottle, *, batch: bool) -> None:
        self._pool, self._intake, self._batch = pool, taking, batch
        self._throttle = throttle
        self.topic = taking.topic
        self.subscriber: Any = None
        """FastStream's, set when it is made; its `consumer` is aiokafka's, made anew at each start."""
        self._positions: dict[tuple[str, int], int] = {}
        self._attempts: dict[TopicPartition, int] = {}
        self._failed_at = float("-inf")
        self._in_hand = _NOTHING
        """Since when the present portion is."""
        self.cause: str | None = None
        """The kind of error for which nothing was read last; None: something was read since."""

    @property
    def retrying(self) -> bool:
        """Whether something failed a moment ago and is being retried. A consumer that hangs retries nothing."""
        return time.monotonic() - self._failed_at < _RETRYING_SECONDS

    @property
    def busy(self) -> bool:
        """Whether a portion is being processed or rests. One that takes too long hangs in its handler and does not
        count.
        """
        return time.monotonic() - self._in_hand < _HANGING_SECONDS

    async def prepare(self, topic_id: UUID, life: datetime) -> None:
        """Load the positions of this life of the server (`intake.life`); before every start. Raises one of AWAY."""
        self._intake.topic_id, self._intake.life = topic_id, life
        self._in_hand = _NOTHING
        self._positions = await transactional.positions(self._pool, {self.topic: topic_id})

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's signature
        """Reload positions that other processes may have moved. A position that is too low only costs time."""
        try:
            self._positions = await transactional.positions(self._pool, {self.topic: self._intake.topic_id})
        except Exception as error:  # noqa: BLE001 - the older positions still do
            log.warning("consumers.positions_not_loaded", topic=self.topic, error=type(error).__name__)

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        for place in assigned:
            self.subscriber.consumer.seek(place, self._positions.get((place.topic, place.partition), 0))

    async def take(self, records: Sequence[Any]) -> None:
        """Process what was polled, each partition by itself. Raises TransientError for those that failed."""
        self.cause = None
        failures: list[tuple[TopicPartition, int, BaseException]] = []
        for place, batch in by_partition(records):
            try:
                if self._batch:
                    await self._take_batch(batch)
                else:
                    self._in_hand = time.monotonic()
                    await self._intake.take(batch[0])
                self._attempts.pop(place, None)
            except Exception as error:  # noqa: BLE001 - no message may be skipped
                failures.append((place, batch[0].offset, error))
            finally:
                self._in_hand = _NOTHING
        if failures:
            raise TransientError(failures)

    async def _take_batch(self, batch: Sequence[Any]) -> None:
        at = 0
        while at < len(batch):
            portion = batch[at : at + self._throttle.portion(len(batch))]
            self._in_hand = began = time.monotonic()
            await self._intake.take_batch(portion)
            at += len(portion)
            self._in_hand = _RESTING
            await self._throttle.rest(time.monotonic() - began)

    def failed_to_read(self, level: int, _: str, *, exc_info: BaseException | None = None, **__: Any) -> None:
        """FastStream's log of an error of the client itself: its kind is told, its text may name anything."""
        if exc_info is not None and level >= logging.ERROR:
            self.cause = type(exc_info).__name__
            log.error("topic.unreadable", topic=self.topic, error=self.cause)

    def back_off(self, transient: TransientError) -> None:
        """Read these partitions again, later; the others go on, and polling keeps our place in the group."""
        self._failed_at = time.monotonic()
        for place, offset, error in transient.failures:
            attempt = self._attempts[place] = self._attempts.get(place, 0) + 1
            seconds = min(_BACKOFF[0] * 2 ** min(attempt - 1, 10), _BACKOFF[1])
            if isinstance(error, EpochNotOpenError):
                seconds = _BACKOFF[0]  # a new epoch waits for what is read here
            metrics.INBOX_RETRIES.labels(self.topic).inc()
            log.warning(
                "message.handler_failed",
                topic=place.topic,
                partition=place.partition,
                offset=offset,
                attempt=attempt,
                error=type(error).__name__,
                at=where(error),
            )
            consumer = self.subscriber.consumer
            if consumer is None or place not in consumer.assignment():
                continue  # stopped, or another member has it now
            consumer.seek(place, offset)
            consumer.pause(place)
            asyncio.get_running_loop().call_later(seconds, self._resume, place)

    def _resume(self, place: TopicPartition) -> None:
        consumer = self.subscriber.consumer
        if consumer is not None and place in consumer.assignment():
            consumer.resume(place)
