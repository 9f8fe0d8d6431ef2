"""Results of submitted decisions, read from the party's results topic from the first question on."""

import asyncio
from collections import OrderedDict
from datetime import datetime
from typing import Any
from uuid import UUID

from kielto import kafka
from kielto.errors import KieltoError
from kielto.events.envelope import Read, read
from kielto.events.results import DecisionResult, ResultStatus
from kielto.events.topics import PARTITIONS, results
from kielto.subscriber.support.brokers import Brokers

KEPT = 10_000
"""How many results to keep, the newest ones."""
BACK_SECONDS = 600.0
"""How far back to read at first, since a result may have come before the question."""


class ResultTimeoutError(KieltoError, TimeoutError):
    """No result of the decision came in time."""


class ResultsReader:
    def __init__(self, brokers: Brokers, party: str, asked_at: datetime) -> None:
        self._brokers, self._topic = brokers, results(party)
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
        await self._brokers.retry(None, self._read, "results cannot be read")

    async def _read(self) -> None:
        async with self._brokers.consumer() as consumer:
            await self._begin(consumer)
            while True:
                await self._take(await consumer.getmany(timeout_ms=1000))

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
