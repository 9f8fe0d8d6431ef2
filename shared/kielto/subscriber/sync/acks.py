"""Acknowledgements: what the store holds, sent after commits, several commits in one message.

Only the latest acknowledgement counts, so none is queued while Kafka is away.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kielto import kafka
from kielto.events.base import Event
from kielto.events.envelope import encode
from kielto.events.messages import Acknowledgement, Position, StoreException, progress_seconds
from kielto.events.topics import Lane
from kielto.subscriber.gate.gate import Gate
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.support.brokers import Brokers
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Committed, Session

COALESCE_SECONDS = 0.05
COALESCE_SHUT_SECONDS = 0.5
"""The same while the gate is shut: otherwise a backfill would be acknowledged thousands of times."""
LISTED = 300
"""How many exceptions one message lists."""


class AckSender(NamedTuple):
    """Who acknowledges, and on which topic."""

    party: str
    subscriber: str
    instance: UUID
    topic: str
    followed: dict[Lane, str]

    def positions(
        self, topics: Mapping[Lane, UUID], positions: Mapping[tuple[Lane, int], int]
    ) -> tuple[Position, ...]:
        return tuple(
            Position(topic=self.followed[lane], topic_id=topics[lane], partition=partition, offset=offset)
            for (lane, partition), offset in sorted(positions.items())
        )

    async def send(self, producer: Any, event: Event) -> None:
        message = encode(event, key=f"{self.subscriber}/{self.instance}", source=self.party)
        await producer.send_and_wait(self.topic, message.value, key=message.key, headers=message.headers)


def acknowledgement(sender: AckSender, committed: Committed, now: datetime) -> Acknowledgement:
    """Acknowledge what the store holds.

    Positions stop at the first exception of their partition that the message cannot list.
    """
    flaws = sorted(committed.flaws, key=lambda told: told[1][:3])
    positions = dict(committed.positions)
    unlisted = [((flaw.lane, flaw.partition), flaw.offset) for _, flaw in flaws[LISTED:]]
    for place, offset in [*unlisted, *committed.held_back.items()]:
        positions[place] = min(positions.get(place, offset), offset)
    return Acknowledgement(
        subscriber=sender.subscriber,
        instance=sender.instance,
        generation=committed.mark.generation,
        positions=sender.positions(committed.topics, positions),
        exceptions=tuple(
            StoreException(
                topic=sender.followed[flaw.lane],
                partition=flaw.partition,
                offset=flaw.offset,
                key=key,
                version=None if flaw.version is None else str(flaw.version),
                reason=flaw.reason,
            )
            for key, flaw in flaws[:LISTED]
        ),
        claimed_at=now,
    )


class Acknowledger:
    """Sends acknowledgements until it is cancelled.

    `following` asks the broker whether the topics are still the same. `spool` gets the store's mark before it is
    acknowledged. `now`: the time that messages say.
    """

    def __init__(
        self,
        brokers: Brokers,
        sender: AckSender,
        session: Session,
        following: Following,
        gate: Gate,
        spool: Spool | None,
        now: Callable[[], datetime],
    ) -> None:
        self._brokers, self._sender, self._session, self._following = brokers, sender, session, following
        self._gate, self._spool, self._now = gate, spool, now
        self._news = asyncio.Event()

    def committed(self, news: bool) -> None:
        """Note a commit of the store; `news`: whether it had anything but beats."""
        if news:
            self._news.set()

    async def run(self) -> None:
        faults = (*kafka.DOWN, kafka.KafkaError, sqlite3.Error)
        await self._brokers.retry("acknowledge", self._acknowledge, "acknowledgement not sent", faults)

    async def _acknowledge(self) -> None:
        self._news.set()  # the first one after a start says where the store is
        async with self._brokers.producer() as producer:
            await self._brokers.may_write("acknowledge", producer, self._sender.topic)
            while True:
                await self._wait()
                await self._send(producer)
                await asyncio.sleep(COALESCE_SHUT_SECONDS if self._gate.shut() else COALESCE_SECONDS)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(progress_seconds(self._session.follower.stale_seconds)):
                await self._news.wait()
        self._news.clear()

    async def _send(self, producer: Any) -> None:
        committed = self._session.acknowledgeable()
        # A position in a topic that is gone would prove what was never read.
        await self._following.verify(producer)
        if not committed.positions or committed.topics != self._session.committed.topics:
            return
        if self._spool is not None:
            await asyncio.to_thread(self._spool.acknowledging, committed.mark)
        await self._sender.send(producer, acknowledgement(self._sender, committed, self._now()))
        self._brokers.works("acknowledge")
