"""The bulk lane publishes everything that may wait, messages that are not state, and backfills. It slows down while
the express lane is late.
"""

import asyncio
import time

import orjson

from kielto.events import control
from kielto.events.topics import PARTITIONS, Lane
from kielto.kafka import partition_of
from kielto.service.database import epoch
from kielto.service.outbox import pending, publish
from kielto.service.outbox.backfills import Snapshots
from kielto.service.outbox.batch_send import OutboxMessage, deliver
from kielto.service.outbox.heartbeats import BeatPlan, everywhere
from kielto.service.outbox.leader import must_be_checked
from kielto.service.support.supervise import within
from kielto.service.support.yielding import in_turns

LIMIT = 1000
BEATS_APART, BEAT_AT_LEAST = 6, 3600.0
"""The bulk topics' beats: every so many of the others, and each hour at least (max.compaction.lag is days)."""
IDLE_SECONDS = 0.25
_SWEEP_SECONDS = 1.0
_LATE_SECONDS = 0.05
_SLOWEST = 1000


class Pace:
    """A limit of records per second: halved whenever the express lane is late, then raised step by step."""

    def __init__(self, limit: int) -> None:
        self._limit, self.rate = limit, float(limit)
        self._free_at = 0.0

    def express_is_late(self, late: bool) -> None:
        slowest = min(_SLOWEST, self._limit)
        self.rate = max(slowest, self.rate / 2) if late else min(self._limit, self.rate * 1.2)

    async def spend(self, records: int) -> None:
        """Wait until this many records fit the rate."""
        now = time.monotonic()
        self._free_at = max(self._free_at, now - 0.1) + records / self.rate
        await asyncio.sleep(max(0.0, self._free_at - now))


_REPORTS = """
SELECT id, topic, key, value, headers FROM reports WHERE topic <> ALL($2::text[]) ORDER BY id LIMIT $1"""

_EXPRESS_AGE = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - (
    SELECT created_at FROM marks WHERE lane = 'express' ORDER BY id LIMIT 1
)), 0)"""


_DELETE_REPORTS = "DELETE FROM reports WHERE id = ANY($1::bigint[])"


class BulkLane:
    def __init__(self, leads: pending.Leadership, pace: Pace, snapshots: Snapshots, beats: BeatPlan) -> None:
        self._conn, self._producer, self._refusals = leads.conn, leads.producer, leads.refusals
        self._leads, self._pace, self._snapshots = leads, pace, snapshots
        self._clock = beats.clock
        self._beat_seconds = min(beats.seconds * BEATS_APART, BEAT_AT_LEAST)
        self._next_beat = time.monotonic() + self._beat_seconds
        self._after, self._next_sweep = 0, 0.0
        self._wake = asyncio.Event()

    async def run(self, stopping: asyncio.Event) -> None:
        """Publish until `stopping` is set. Raises LaneStoppedError, or an error of PostgreSQL."""
        await self._conn.add_listener(publish.REPORTS, lambda *_: self._wake.set())
        while not stopping.is_set():
            self._wake.clear()
            await must_be_checked(self._conn)
            sent = await self._marks() + await self._reports()
            busy = await self._snapshots.advance(self._conn, self._producer, self._refusals)
            await self._beat()
            if sent:
                self._pace.express_is_late(await self._conn.fetchval(_EXPRESS_AGE) > _LATE_SECONDS)
                await self._pace.spend(sent)
            elif not busy:
                await within(IDLE_SECONDS, self._wake.wait())

    async def _marks(self) -> int:
        """Publish new marks, and now and then all marks, since one with a lower number may commit later."""
        now = time.monotonic()
        if now >= self._next_sweep:
            self._after, self._next_sweep = 0, now + _SWEEP_SECONDS
        found, self._after, _ = await pending.fetch(
            self._conn, Lane.BULK, self._refusals.going(self._leads.families, Lane.BULK), self._after, LIMIT
        )
        messages = [
            pending.message(marked, Lane.BULK, self._leads.decrypt_record) async for marked in in_turns(found)
        ]
        delivered = await deliver(self._producer, messages)
        done = [(m, o) for m, o in zip(found, delivered.offsets, strict=True) if o is not None]
        if done:
            await pending.published(self._conn, Lane.BULK, done, self._leads.topic_ids)
        await self._refusals.note((marked.family.topic(Lane.BULK) for marked in found), delivered)
        return len(done)

    async def _reports(self) -> int:
        """Send plain rows in the order of their ids. Few wait at a time, so each round reads from the first."""
        rows = await self._conn.fetch(_REPORTS, LIMIT, self._refusals.waiting())
        messages = [
            OutboxMessage(
                row["topic"],
                partition_of(key := row["key"].encode(), PARTITIONS),
                key,
                row["value"],
                [(name, value.encode()) for name, value in orjson.loads(row["headers"])],
            )
            for row in rows
        ]
        delivered = await deliver(self._producer, messages)
        sent = [row["id"] for row, offset in zip(rows, delivered.offsets, strict=True) if offset is not None]
        if sent:
            await self._conn.execute(_DELETE_REPORTS, sent)
        await self._refusals.note((message.topic for message in messages), delivered)
        return len(sent)

    async def _beat(self) -> None:
        """To every bulk partition too, so that old versions and tombstones there are compacted away in time
        even where nobody else writes. It vouches for nothing: n is 0, and freshness is read from the
        restrictions topics alone.
        """
        if time.monotonic() < self._next_beat:
            return
        self._next_beat = time.monotonic() + self._beat_seconds
        known = await epoch.latest(self._conn)
        if known is None:
            return
        number, term = known
        beat = control.Beat(epoch=number, term=term, n=0, generation=0, at=self._clock())
        going = self._refusals.going(self._leads.families, Lane.BULK).values()
        messages = [message for family in going for message in everywhere(family, beat, Lane.BULK)]
        await self._refusals.note((m.topic for m in messages), await deliver(self._producer, messages))
