"""Urgent messages that an open transaction holds back.

Topics are read committed: an open transaction hides what it wrote and everything behind it in its partition, for up to
the producer's timeout (15 minutes by Kafka's default). A *no* in or behind one is taken from the uncommitted end of
the log at once, and again, without effect, when it is committed. So a *no* of an aborted transaction may count; a
*yes* never does.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.service.inbox.transactional import Intake
from kielto.service.support.logs import where

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_RECORDS = 200


class Ahead:
    """`intakes`, by topic: those of subscriptions with urgent messages. Their topic ids are known."""

    def __init__(self, bootstrap: str, intakes: Mapping[str, Intake], *, security: kafka.Security) -> None:
        self._bootstrap, self._intakes, self._security = bootstrap, intakes, security
        self._places = [kafka.TopicPartition(topic, p) for topic in intakes for p in range(PARTITIONS)]
        self._seen: dict[kafka.TopicPartition, int] = {}

    async def run(self) -> None:
        """Run until cancelled; returns at once without such topics. Raises what Kafka raises."""
        if not self._places:
            return
        stable = kafka.consumer(self._bootstrap, security=self._security)
        reader = kafka.consumer(self._bootstrap, security=self._security, **kafka.UNCOMMITTED)
        async with kafka.started(stable), kafka.started(reader):
            while True:
                await self._look(stable, reader)
                await asyncio.sleep(_LOOK_SECONDS)

    async def _look(self, stable: Any, reader: Any) -> None:
        begins = await kafka.end_offsets(stable, self._places)
        ends = await kafka.end_offsets(reader, self._places)
        hidden = {p: max(begins[p], self._seen.get(p, 0)) for p in self._places}
        hidden = {p: begin for p, begin in hidden.items() if begin < ends[p]}
        if not hidden:
            return
        reader.assign(list(hidden))
        for place, begin in hidden.items():  # nothing may be awaited between assignment and seek
            reader.seek(place, begin)
        for place, records in (await reader.getmany(timeout_ms=500, max_records=_RECORDS)).items():
            try:
                for record in records:
                    await self._intakes[place.topic].take_ahead(record)
                    self._seen[place] = record.offset + 1
            except Exception as error:  # noqa: BLE001 - it is tried again at the next look
                log.warning(
                    "urgent_message.handler_failed",
                    topic=place.topic,
                    error=type(error).__name__,
                    at=where(error),
                )
