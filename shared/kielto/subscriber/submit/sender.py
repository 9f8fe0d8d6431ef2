"""Submitted decisions: they deny at once, are spooled, and are sent in order until the broker has them."""

import asyncio
import contextlib
import logging
from typing import Any
from uuid import UUID

from kielto import kafka
from kielto.errors import InvalidValueError
from kielto.events.envelope import encode
from kielto.events.messages import Decision
from kielto.events.topics import decisions
from kielto.events.words import Reach
from kielto.subscriber.gate.gate import FollowedParty
from kielto.subscriber.gate.local_denials import DecisionPlace, Denial, Denials
from kielto.subscriber.submit.spool import Spool, Spooled
from kielto.subscriber.support.brokers import Brokers, ThrottledLog

log = logging.getLogger(__name__)
CHECK_SECONDS = 10.0
"""How often to check whether the decisions topic was recreated while nothing waits."""
RETRY_SECONDS = 0.5


class Submitting:
    """Spools decisions and sends them to the party's decisions topic."""

    def __init__(self, brokers: Brokers, party: FollowedParty, spool: Spool, denials: Denials) -> None:
        self._brokers, self._party, self._topic = brokers, party, decisions(party.name)
        self._spool, self._denials = spool, denials
        self._noted, self._waiting = asyncio.Condition(), asyncio.Event()

    async def load(self) -> None:
        """Load the denials of an earlier run from the spool."""
        for spooled in await asyncio.to_thread(self._spool.all):
            self._denials.add(self._denial(spooled.decision, spooled.sent))

    async def submit(self, key: str, decision: Decision, traceparent: str | None) -> None:
        """Deny at once, and return when the decision is on disk.

        Raises InvalidValueError or MessageTooLargeError for what cannot be submitted, which then denies nothing, and
        sqlite3.Error when the disk cannot be written; the denial then holds until the next start.
        """
        self._must_fit(decision)
        encode(decision, key=key, source=self._party.name)
        self._denials.add(self._denial(decision, None))
        try:
            await asyncio.to_thread(self._spool.add, key, decision, traceparent)
        except ValueError:
            self._denials.drop(decision.id)
            raise
        self._waiting.set()

    def _must_fit(self, decision: Decision) -> None:
        """Refuse fields that do not fit together, since the person can still be asked. Raises InvalidValueError."""
        decision.must_make_sense()
        if not self._party.name.is_company:
            if decision.subject.number is not None:
                raise InvalidValueError(
                    "number: only a company has customer numbers; a partner must give customer, email or phone"
                )
            if decision.reach is Reach.COMPANY:
                raise InvalidValueError("reach: a partner cannot use the reach company")

    def _denial(self, decision: Decision, sent: DecisionPlace | None) -> Denial:
        said = decision.subject.number or decision.subject.point
        return Denial(decision, self._party.hashes_of(bytes.fromhex(said)) if said else frozenset(), sent)

    async def sent(self, decision: UUID) -> None:
        """Wait until the broker has it; return at once when it is not in the spool."""
        async with self._noted:
            while await asyncio.to_thread(self._spool.is_waiting, decision):
                await self._noted.wait()

    async def flush(self, seconds: float) -> list[UUID]:
        """Wait at most `seconds` until the broker has all decisions; return the ids of those that it does not have."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._noted:
                while await asyncio.to_thread(self._spool.waiting, 1):
                    await self._noted.wait()
        return [spooled.decision.id for spooled in await asyncio.to_thread(self._spool.waiting, -1)]

    async def run(self) -> None:
        await self._brokers.retry("submit", self._send_all, "decisions cannot be sent and wait in the spool")

    async def _send_all(self) -> None:
        self._waiting.set()
        async with self._brokers.producer() as producer:
            await self._brokers.may_write("submit", producer, self._topic)
            while True:
                await self._send_waiting(producer)

    async def _send_waiting(self, producer: Any) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CHECK_SECONDS):
                await self._waiting.wait()
        self._waiting.clear()
        topic_id = await self._topic_id(producer)
        await self._send_lost_again(topic_id)
        while batch := await asyncio.to_thread(self._spool.waiting):
            places = [await self._send(producer, spooled, topic_id) for spooled in batch]
            if await self._topic_id(producer) != topic_id:
                self._waiting.set()  # the topic was recreated meanwhile: send all again
                return
            for spooled, place in zip(batch, places, strict=True):
                await self._note(spooled.decision, place)
            async with self._noted:
                self._noted.notify_all()

    async def _send(self, producer: Any, spooled: Spooled, topic_id: UUID) -> DecisionPlace:
        decision, trace = spooled.decision, spooled.traceparent
        message = encode(
            decision, key=spooled.key, source=self._party.name, traceparent=trace, ident=decision.id
        )
        told = await producer.send_and_wait(
            self._topic, message.value, key=message.key, headers=message.headers
        )
        self._brokers.works("submit")
        return DecisionPlace(topic_id, told.partition, told.offset)

    async def _note(self, decision: Decision, where: DecisionPlace) -> None:
        if decision.act.restricts:
            await asyncio.to_thread(self._spool.sent, decision, where)
            self._denials.sent(decision.id, where)
        else:  # it denies nothing, so no denial has to end
            await asyncio.to_thread(self._spool.forget, [decision.id])

    async def _send_lost_again(self, topic_id: UUID) -> None:
        """Send again what was sent to a topic that was deleted before consents read it. The ids make a repeat
        harmless.
        """
        for spooled in await asyncio.to_thread(self._spool.sent_elsewhere, topic_id):
            await asyncio.to_thread(self._spool.sent, spooled.decision, None)
            self._denials.sent(spooled.decision.id, None)

    async def _topic_id(self, producer: Any) -> UUID:
        warnings = ThrottledLog(log)
        while self._topic not in (ids := await kafka.topic_ids(producer, [self._topic])):
            warnings.warn(
                "topic %s is missing, or this Kafka user may not write it; decisions wait in the spool",
                self._topic,
            )
            await asyncio.sleep(RETRY_SECONDS)
        return ids[self._topic]
