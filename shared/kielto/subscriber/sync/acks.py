"""Acknowledgements: what the store holds, sent after commits, several commits in one message.

Only the latest acknowledgement counts, so none is queued while Kafka is away.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kielto import kafka
from kielto.events.envelope import encode
from kielto.events.messages import Acknowledgement, Position, StoreException, progress_seconds
from kielto.events.topics import Lane
from kielto.subscriber.stores.base import StoreMark
from kielto.subscriber.support.not_ready import Telling, Troubles
from kielto.subscriber.sync.session import Committed

log = logging.getLogger(__name__)
COALESCE_SECONDS = 0.05
COALESCE_SHUT_SECONDS = 0.5
"""The same while the gate is shut: otherwise a backfill would be acknowledged thousands of times."""
LISTED = 300
"""How many exceptions one message lists."""
RETRY_SECONDS = 0.5


class AckSender(NamedTuple):
    """Who acknowledges, and on which topic."""

    party: str
    subscriber: str
    instance: UUID
    topic: str
    followed: dict[Lane, str]


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
        positions=tuple(
            Position(
                topic=sender.followed[lane],
                topic_id=committed.topics[lane],
                partition=partition,
                offset=offset,
            )
            for (lane, partition), offset in sorted(positions.items())
        ),
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

    `committed` returns what may be acknowledged now. `verify` asks the broker whether the topics are still the same.
    `noted` is called with the store's mark before it is acknowledged. `now`: the time that messages say.
    """

    def __init__(
        self,
        bootstrap: str,
        sender: AckSender,
        committed: Callable[[], Committed],
        verify: Callable[[Any], Awaitable[None]],
        noted: Callable[[StoreMark], None],
        is_open: Callable[[], bool],
        stale_seconds: float,
        now: Callable[[], datetime],
        *,
        security: kafka.Security = kafka.CLEAR,
        troubles: Troubles | None = None,
    ) -> None:
        self._security, self._troubles = security, troubles or Troubles()
        self._progress_seconds = progress_seconds(stale_seconds)
        self._bootstrap, self._sender, self._now = bootstrap, sender, now
        self._committed, self._verify, self._noted, self._is_open = committed, verify, noted, is_open
        self._news = asyncio.Event()
        self._news.set()  # the first one after a start says where the store is

    def committed(self, news: bool) -> None:
        """Note a commit of the store; `news`: whether it had anything but beats."""
        if news:
            self._news.set()

    async def run(self) -> None:
        telling = Telling(log)
        while True:
            producer = kafka.producer(self._bootstrap, security=self._security)
            try:
                await producer.start()
                await self._troubles.may_write("acknowledge", producer, self._sender.topic)
                while True:
                    await self._wait()
                    await self._send(producer)
                    await asyncio.sleep(COALESCE_SECONDS if self._is_open() else COALESCE_SHUT_SECONDS)
            except (*kafka.DOWN, kafka.KafkaError, sqlite3.Error) as error:
                self._troubles.failed("acknowledge", error)
                telling.warn("acknowledgement not sent; trying again: %s", type(error).__name__)
                self._news.set()
            finally:
                await kafka.abort(producer)
            await asyncio.sleep(RETRY_SECONDS)

    async def _wait(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._progress_seconds):
                await self._news.wait()
        self._news.clear()

    async def _send(self, producer: Any) -> None:
        committed = self._committed()
        await self._verify(producer)  # a position in a topic that is gone would prove what was never read
        if not committed.positions or committed.topics != self._committed().topics:
            return
        await asyncio.to_thread(self._noted, committed.mark)
        message = encode(
            acknowledgement(self._sender, committed, self._now()),
            key=f"{self._sender.subscriber}/{self._sender.instance}",
            source=self._sender.party,
        )
        await producer.send_and_wait(
            self._sender.topic, message.value, key=message.key, headers=message.headers
        )
        self._troubles.works("acknowledge")
