"""Results of submitted decisions, read from the party's results topic from the first question on."""

import asyncio
import logging
from collections import OrderedDict
from datetime import datetime
from typing import Any
from uuid import UUID

from kielto import kafka
from kielto.errors import KieltoError
from kielto.events.envelope import Read, read
from kielto.events.results import DecisionResult, ResultStatus
from kielto.events.topics import PARTITIONS, results
from kielto.subscriber.support.not_ready import Telling

log = logging.getLogger(__name__)
KEPT = 10_000
"""How many results to keep, the newest ones."""
BACK_SECONDS = 600.0
"""How far back to read at first, since a result may have come before the question."""
RETRY_SECONDS = 0.5


class ResultTimeoutError(KieltoError, TimeoutError):
    """No result of the decision came in time."""


class ResultsReader:
    def __init__(
        self, bootstrap: str, party: str, asked_at: datetime, *, security: kafka.Security = kafka.CLEAR
    ) -> None:
        self._bootstrap, self._topic, self._security = bootstrap, results(party), security
        self._found: OrderedDict[UUID, DecisionResult] = OrderedDict()
        self._news = asyncio.Condition()
        self._from = asked_at.timestamp() - BACK_SECONDS
        self._positions: dict[Any, int] = {}

    async def of(self, decision: UUID, seconds: float | None) -> DecisionResult:
        """Wait for the newest result of this decision. Raises ResultTimeoutError."""
        try:
            async with asyncio.timeout(seconds), self._news:
                while decision not in self._found:
                    await self._news.wait()
                return self._found[decision]
        except TimeoutError:
            raise ResultTimeoutError("no result of this decision yet; ask again") from None

    def note(self, result: DecisionResult) -> None:
        """Keep a result. `repeated` does not replace the first one; without a first one it counts as `taken`."""
        ident = result.id
        if ident is None:
            return
        if result.status is ResultStatus.REPEATED:
            if ident in self._found:
                return
            result = result.model_copy(update={"status": ResultStatus.TAKEN})
        self._found[ident] = result
        self._found.move_to_end(ident)
        while len(self._found) > KEPT:
            self._found.popitem(last=False)

    async def run(self) -> None:
        telling = Telling(log)
        while True:
            try:
                client = kafka.consumer(self._bootstrap, security=self._security)
                async with kafka.started(client) as consumer:
                    await self._begin(consumer)
                    while True:
                        await self._take(await consumer.getmany(timeout_ms=1000))
            except Exception as error:  # noqa: BLE001 - whoever waits gets a ResultTimeoutError
                telling.warn("results cannot be read; trying again: %s", type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)

    async def _begin(self, consumer: Any) -> None:
        """Continue where it stopped; at first begin at the offsets of `BACK_SECONDS` ago."""
        parts = [kafka.TopicPartition(self._topic, p) for p in range(PARTITIONS)]
        consumer.assign(parts)
        if not self._positions:
            ends = await kafka.end_offsets(consumer, parts)
            then = await consumer.offsets_for_times(dict.fromkeys(parts, int(self._from * 1000)))
            self._positions = {part: then[part].offset if then[part] else ends[part] for part in parts}
        for part, offset in self._positions.items():
            consumer.seek(part, offset)

    async def _take(self, batch: dict[Any, Any]) -> None:
        async with self._news:
            for part, records in batch.items():
                for record in records:
                    said = read((DecisionResult,), record.key, record.value, record.headers)
                    if isinstance(said, Read) and isinstance(said.event, DecisionResult):
                        self.note(said.event)
                    self._positions[part] = record.offset + 1
            self._news.notify_all()
