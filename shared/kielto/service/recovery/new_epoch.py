"""When a new epoch begins, and what happens before anything of it is published. Contract, "Restore".

One begins by command, when the server is on another timeline, or when our own topics are ahead of the database. The
leader of the express lane does it; each step can be repeated after a crash:

 1. announce an epoch above all epochs in our topics and the database in every partition, then commit it, with a new
    snapshot generation of every family: gates stay shut until that is complete;
 2. wait until the consumers have read the inputs to their present ends;
 3. take from our own topics what the database lacks (`TakeIn`): restrictions, erasures;
 4. raise every row into the new epoch and open it: relays, heartbeats and clearances go on.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from kielto import kafka
from kielto.clock import Clock, utc_now
from kielto.events.topics import PARTITIONS, Family
from kielto.events.versions import Version
from kielto.service.auditor import store
from kielto.service.database import epoch
from kielto.service.database.pool import Pool, columns
from kielto.service.inbox import transactional
from kielto.service.outbox import backfills
from kielto.service.outbox.batch_send import LaneStoppedError
from kielto.service.outbox.leader import Leader
from kielto.service.recovery import claim, topic_scan
from kielto.service.recovery.topic_scan import ScannedRecord, Since

log = structlog.get_logger(__name__)

_CHUNK = 5000
_ROW = ("family.name", "key", "version.epoch", "version.n")
_LOOK_SECONDS = 0.1
_TELL_SECONDS = 5.0
_GAPS_SECONDS = 1.0  # then it may be that no record is left, only offsets that nobody is handed


@dataclass(frozen=True, slots=True)
class TakeIn:
    """What a service restores from its own topics. `keep`: what is needed of a record (of `envelope.read`), None if
    nothing; `take`: given what was kept of the highest version of each key, and the epoch. Both are repeated after a
    crash.
    """

    family: Family
    keep: Callable[[Any], Any]
    take: Callable[[Mapping[str, Any], int], Awaitable[None]]


_STATE = """
SELECT epoch, term, open, started IS NOT DISTINCT FROM pg_postmaster_start_time() AS known,
    CASE
        WHEN ending IS NOT NULL THEN ending
        WHEN timeline <> kielto_timeline() THEN 'the server is on another timeline'
        WHEN system <> kielto_system() THEN 'the data stand on another server'
    END AS why
FROM epoch"""

_OPEN_AHEAD = "SELECT EXISTS (SELECT FROM audit_findings WHERE kind = 'ahead' AND state = 'open')"

# A key without a row and of an earlier epoch was another database's: the first backfill swept it.
_ANY_AHEAD = """
SELECT EXISTS (
    SELECT FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[]) AS e (family, key, epoch, n)
    LEFT JOIN records r USING (family, key)
    WHERE CASE WHEN r.n IS NULL THEN e.epoch >= $5 ELSE (e.epoch, e.n) > (r.epoch, r.n) END)"""

_BEGIN = """
UPDATE epoch SET epoch = $1, timeline = kielto_timeline(), system = kielto_system(),
    started = pg_postmaster_start_time(), open = false, why = coalesce(ending, why), ending = NULL, begun_at = now()"""

_RAISE = """
WITH chunk AS MATERIALIZED (
    SELECT family, key FROM records WHERE (family, key) > ($1, $2) ORDER BY family, key LIMIT $4 FOR UPDATE
), raised AS (
    UPDATE records r SET epoch = $3 FROM chunk c
    WHERE r.family = c.family AND r.key = c.key AND r.epoch < $3
)
SELECT family, key FROM chunk ORDER BY family DESC, key DESC LIMIT 1"""


_LOOKED_AT = "UPDATE epoch SET started = pg_postmaster_start_time()"

_OPEN = "UPDATE epoch SET open = true WHERE epoch = $1"


@dataclass(frozen=True, slots=True)
class Epochs:
    """`inputs`: the topics of other services that this one reads."""

    bootstrap: str
    pool: Pool
    families: Sequence[Family]
    inputs: Sequence[str] = ()
    take_in: TakeIn | None = None
    security: kafka.Security = kafka.CLEAR
    clock: Clock = utc_now

    async def ensure(self, conn: Leader) -> None:
        """Return when an epoch is open that was compared with our own topics since the server started. Only the leader
        of the express lane calls it, so one process at a time. Raises one of DOWN, AWAY, or LaneStoppedError: try
        again.
        """
        row = await conn.fetchrow(_STATE)
        if row is None:
            raise LaneStoppedError("no epoch was claimed yet")
        why = row["why"]
        if why is None and not row["known"]:
            why = "not open before the server started" if not row["open"] else await self._ahead(conn, row)
            if why is None:
                await conn.execute(_LOOKED_AT)
        if why is not None:
            await self._begin(conn, row["epoch"], why)
        if why is not None or not row["open"]:
            await self._open(conn)

    async def _ahead(self, conn: Leader, row: Any) -> str | None:
        """Why our own topics are ahead of the database; None if they are not. Only what the auditor has not read is
        scanned.
        """
        if await conn.fetchval(_OPEN_AHEAD):
            return "the auditor found records ahead of the database"
        highest = Version(row["epoch"], row["term"])
        async for batch in topic_scan.entries(
            self.bootstrap, self.families, await self._since(conn), security=self.security
        ):
            if any(e.key is None and e.version > highest for e in batch):
                return "our own topics hold heartbeats that this database never gave"
            records = [e for e in batch if e.key is not None]
            if await conn.fetchval(_ANY_AHEAD, *columns(records, *_ROW), row["epoch"]):
                return "our own topics hold records that this database never wrote"
        return None

    async def _since(self, conn: Leader) -> Since:
        """What the auditor has read was held against the database, in the same transaction as its positions."""
        if await conn.fetchval(_OPEN_AHEAD):
            return topic_scan.NOWHERE
        topics = {topic for f in self.families for topic in (f.bulk, f.express) if topic}
        known = await store.positions(conn, topics)
        return {place: (at.topic_id, at.offset) for place, at in known.items()}

    async def _begin(self, conn: Leader, before: int, why: str) -> None:
        await epoch.end(conn, why)
        log.warning("epoch.begun", epoch=before, rule=why)
        since = await self._since(conn)
        seen = await topic_scan.highest_epoch(self.bootstrap, self.families, since, security=self.security)
        number = 1 + max(before, seen)
        await claim.announce(self.bootstrap, self.families, number, self.security, self.clock)
        async with conn.transaction():
            await conn.execute(_BEGIN, number)
            for family in self.families:
                await backfills.request(conn, family.name)

    async def _open(self, conn: Leader) -> None:
        latest = await epoch.latest(conn)
        assert latest is not None
        number, _ = latest
        await self._inputs_taken()
        await self._take_in(conn, number)
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            row = await conn.fetchrow(_RAISE, *after, number, _CHUNK)
            after = (row["family"], row["key"]) if row and row["key"] is not None else None
        await conn.execute(_OPEN, number)
        log.warning("epoch.open", epoch=number)

    async def _inputs_taken(self) -> None:
        """Wait until the consumers, of whatever process, have read these topics to their present ends."""
        if not self.inputs:
            return
        async with kafka.started(kafka.consumer(self.bootstrap, security=self.security)) as client:
            ids = await kafka.topic_ids(client, list(self.inputs))
            places = [kafka.TopicPartition(topic, p) for topic in self.inputs for p in range(PARTITIONS)]
            begins = await client.beginning_offsets(places)
            ends = await kafka.end_offsets(client, places)
            left = {p for p in places if ends[p] > begins[p]}
            clock = asyncio.get_running_loop().time
            told = looked = clock()
            while left:
                taken = await transactional.positions(self.pool, ids)
                at = {p: max(taken.get((p.topic, p.partition), 0), begins[p]) for p in left}
                left = {p for p in left if at[p] < ends[p]}
                if left and clock() - looked > _GAPS_SECONDS:
                    left -= (await kafka.stepped_over(client, at, {p: ends[p] for p in left})).keys()
                    looked = clock()
                if left and clock() - told > _TELL_SECONDS:
                    told = clock()
                    log.warning("epoch.waiting_for_inputs", topics=sorted({p.topic for p in left}))
                await asyncio.sleep(_LOOK_SECONDS if left else 0)

    async def _take_in(self, conn: Leader, number: int) -> None:
        """Restore from the highest version of each key: a restriction that it no longer lists was lifted."""
        if self.take_in is None:
            return
        newest: dict[str, tuple[Version, Any]] = {}
        async for batch in topic_scan.entries(
            self.bootstrap, [self.take_in.family], await self._since(conn), security=self.security
        ):
            for entry in await _candidates(conn, batch, number):
                assert entry.key is not None
                if entry.key not in newest or newest[entry.key][0] < entry.version:
                    newest[entry.key] = entry.version, self.take_in.keep(topic_scan.decode(entry))
        kept = {key: found for key, (_, found) in newest.items() if found is not None}
        await self.take_in.take(kept, number)


_CANDIDATES = """
SELECT e.at FROM unnest($1::text[], $2::text[], $3::integer[], $4::bigint[])
    WITH ORDINALITY AS e (family, key, epoch, n, at)
LEFT JOIN records r USING (family, key)
WHERE r.n IS NULL OR r.epoch >= $5 OR (e.epoch, e.n) > (r.epoch, r.n)
ORDER BY e.at"""


async def _candidates(conn: Leader, batch: Sequence[ScannedRecord], number: int) -> list[ScannedRecord]:
    """Records of earlier epochs above their row, or whose row was raised since the epoch began."""
    records = [e for e in batch if e.key is not None and e.version.epoch < number]
    rows = await conn.fetch(_CANDIDATES, *columns(records, *_ROW), number)
    return [records[row["at"] - 1] for row in rows]
