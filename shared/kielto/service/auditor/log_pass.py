"""One pass of the audit: read back the service's own topics, note what stands where, and repair what is wrong.

What was noted and how far it was read are committed together, so a restart doubles no finding and skips no record.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import structlog

from kielto import kafka
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.kafka import TopicPartition
from kielto.service.auditor import store, voids
from kielto.service.auditor.missing import MissingScan
from kielto.service.auditor.rules import AuditedRecord, AuditFinding, FindingKind, LogPlace, examine, read
from kielto.service.auditor.store import Audited, Conn
from kielto.service.outbox.batch_send import LaneStoppedError
from kielto.service.outbox.bulk_lane import Pace
from kielto.service.outbox.leader import must_be_checked
from kielto.service.support import metrics
from kielto.service.support.yielding import in_turns

log = structlog.get_logger(__name__)

_BATCH = 1000
_RATE = 2_000  # records a second: a fifth of a core or less; a whole register within minutes
_IDLE_SECONDS = 0.2
_LOOK_SECONDS, _WALK_SECONDS = 2.0, 1.0

# Always the plan by the indexes: these tables change faster than their statistics.
BY_INDEX = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"


class TopicChangedError(Exception):
    """A topic is missing or was created again: begin again."""


_EXPRESS_WAITS = """
SELECT coalesce((
    SELECT created_at < clock_timestamp() - interval '50 ms' FROM marks WHERE lane = 'express' ORDER BY id LIMIT 1
), false)"""


class LogPass:
    """One leadership of the auditor, or one whole pass over tables of its own (`commands.py`)."""

    def __init__(
        self,
        conn: Conn,
        consumer: Any,
        families: Sequence[Family],
        producer: Any = None,
        *,
        rate: int = _RATE,
    ) -> None:
        self._conn, self._consumer, self._producer = conn, consumer, producer
        self._families = {f.name: f for f in families}
        self._topics = {f.topic(lane): f for f in families for lane in Lane}
        self._ids: dict[str, UUID] = {}
        self.positions: dict[tuple[str, int], Audited] = {}
        self._pace = Pace(rate)
        self._caught_up_at = time.monotonic()

    async def run(self) -> None:
        """Read and compare until cancelled."""
        walk = await self.begin()
        next_look = next_walk = 0.0
        while True:
            records = await self.take()
            now = time.monotonic()
            if now >= next_look:
                await must_be_checked(self._conn)
                behind, next_look = await self.look(), now + _LOOK_SECONDS
                metrics.AUDIT_OPEN.set(await store.count_open(self._conn))
                if behind == 0:
                    self._caught_up_at = now
                metrics.AUDIT_LAG.set(behind)
                metrics.AUDIT_LAG_SECONDS.set(now - self._caught_up_at)
            if now >= next_walk and records < _BATCH:
                next_walk = now + _WALK_SECONDS
                tell(await walk.step(self._conn, self._consumer, self.positions))
            await voids.advance(self._conn, self._producer, self._families)
            if records < _BATCH:
                await asyncio.sleep(_IDLE_SECONDS)  # what comes one by one is taken together

    async def begin(self) -> MissingScan:
        """Assign all partitions from the positions kept. A topic with another id is read from its start."""
        self._ids = await kafka.topic_ids(self._consumer, list(self._topics))
        if missing := sorted(self._topics.keys() - self._ids.keys()):
            raise LaneStoppedError(f"topics are missing: {', '.join(missing)}")
        self.positions = await store.positions(self._conn, self._topics)
        await self._recreated()
        places = [TopicPartition(topic, p) for topic in self._topics for p in range(PARTITIONS)]
        self._consumer.assign(places)
        for place in places:
            at = (place.topic, place.partition)
            self.positions.setdefault(at, Audited(self._ids[place.topic], 0, 0))
            self._consumer.seek(place, self.positions[at].offset)
        return MissingScan(list(self._families.values()), self._ids)

    async def _recreated(self) -> None:
        """Everything that stood in a deleted topic is lost: a backfill publishes it again, and gates stay
        shut meanwhile.
        """
        async with self._conn.transaction():
            lost: list[AuditFinding] = []
            for (topic, partition), at in list(self.positions.items()):
                if at.topic_id == self._ids[topic]:
                    continue
                self.positions[topic, partition] = Audited(self._ids[topic], 0, 0)
                await store.forget_topic(self._conn, topic, at.topic_id)
                place = self._place(TopicPartition(topic, partition), 0)
                lost.append(AuditFinding(FindingKind.VANISHED, place, "topic: was deleted and created again"))
            if lost:
                new = await store.found(self._conn, lost)
                await store.move(self._conn, self.positions)
                tell(new)

    async def take(self) -> int:
        """The next records, examined and noted together; how many there were."""
        polled = await self._consumer.getmany(timeout_ms=200, max_records=_BATCH)
        items: list[AuditedRecord] = []
        for place, records in polled.items():
            family, at = self._topics[place.topic], self.positions[place.topic, place.partition]
            async for record in in_turns(records):
                if record.offset < at.offset:
                    continue  # set back by the broker: examined before
                where = LogPlace(family, place.topic, at.topic_id, place.partition, record.offset)
                items.append(AuditedRecord(where, read(family, record)))
        if items:
            await self._note(items)
            self._pace.express_is_late(await self._conn.fetchval(_EXPRESS_WAITS))
            await self._pace.spend(len(items))
        else:
            await self._step_over()
        return len(items)

    async def _step_over(self) -> None:
        """Move positions over offsets without a record: nothing is fetched and unread, so there is no record between a
        position and the consumer's own.
        """
        for (topic, partition), at in list(self.positions.items()):
            read_to = await self._consumer.position(TopicPartition(topic, partition))
            if read_to > at.offset:
                self.positions[topic, partition] = at._replace(offset=read_to)

    async def _note(self, items: Sequence[AuditedRecord]) -> None:
        if self._producer is not None:
            # An epoch is announced in the topics before it is ours: asked after the records were read, and before what
            # is known of them, no announcement of our own is taken for a stranger's.
            await must_be_checked(self._conn)
        known = await store.known(self._conn, items, self.positions)
        findings = examine(items, known)
        moved = {
            (topic, p): Audited(self._ids[topic], known.positions[topic, p], known.epochs[topic, p])
            for topic, p in {(item.place.topic, item.place.partition) for item in items}
        }
        async with self._conn.transaction():
            new = await store.found(self._conn, findings) if findings else []
            await store.note(self._conn, known)
            await store.move(self._conn, moved)
        self.positions |= moved
        tell(new)

    async def look(self) -> int:
        """See whether the topics still hold what was read; how many records are still to be read. Raises
        TopicChangedError.
        """
        if await kafka.topic_ids(self._consumer, list(self._topics)) != self._ids:
            raise TopicChangedError
        places = [TopicPartition(topic, p) for topic, p in self.positions]
        begins = await self._consumer.beginning_offsets(places)
        ends = await self.ends()
        for place in places:
            await self._cut(place, begins[place], ends[place.topic, place.partition])
        await store.backfilled(self._conn)
        return self.left(ends)

    async def ends(self) -> dict[tuple[str, int], int]:
        """The end offset of each partition now."""
        places = [TopicPartition(topic, p) for topic, p in self.positions]
        return {
            (at.topic, at.partition): end
            for at, end in (await kafka.end_offsets(self._consumer, places)).items()
        }

    def left(self, ends: Mapping[tuple[str, int], int]) -> int:
        """Offsets below these ends that are not audited yet."""
        return sum(max(0, end - self.positions[at].offset) for at, end in ends.items())

    async def _cut(self, place: TopicPartition, begin: int, end: int) -> None:
        """Forget what was noted below the partition's begin or behind its end: Kafka no longer has it."""
        at = self.positions[place.topic, place.partition]
        offset = min(max(at.offset, begin), end)
        async with self._conn.transaction():
            family, ident = self._topics[place.topic], (at.topic_id, place.partition)
            lost = await store.lost(self._conn, family, ident, 0, begin) if begin else []
            if end < at.offset:
                lost += await store.lost(self._conn, family, ident, end, at.offset)
            findings = self._lost(place, lost, offset)
            new = await store.found(self._conn, findings)
            if offset != at.offset:
                self.positions[place.topic, place.partition] = at._replace(offset=offset)
                await store.move(self._conn, {(place.topic, place.partition): at._replace(offset=offset)})
                self._consumer.seek(place, offset)
        tell(new)

    def _lost(
        self, place: TopicPartition, lost: Sequence[tuple[str, int, Any]], offset: int
    ) -> list[AuditFinding]:
        if len(lost) > store.MANY:
            why = f"{len(lost)} keys lost their last record"
            return [AuditFinding(FindingKind.VANISHED, self._place(place, offset), why)]
        kind, why = FindingKind.VANISHED, "was read and is gone"
        return [
            AuditFinding(kind, self._place(place, was), f"{version} {why}", key, version, offset)
            for key, was, version in lost
        ]

    def _place(self, at: TopicPartition, offset: int) -> LogPlace:
        return LogPlace(self._topics[at.topic], at.topic, self._ids[at.topic], at.partition, offset)


def tell(findings: Sequence[AuditFinding]) -> None:
    """Log a finding: its place and rule, never a key or content."""
    for finding in findings:
        place = finding.place
        log.error(
            "audit.finding",
            kind=finding.kind.value,
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            rule=finding.reason,
        )
