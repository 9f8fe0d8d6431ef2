"""Backfills: publish every record of a family once more on its bulk topic, then `!snapshot` in every partition.

The steps, each repeated after a crash: note both topics' end offsets; mark every record with this generation, key by
key; when no such mark is left, write `!snapshot` with the noted offsets. A follower then deletes what it last saw
below both offsets, because it was not published again.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.service.database.epoch import EpochNotOpenError
from kielto.service.database.pool import Conn, Pool
from kielto.service.outbox.batch_send import OutboxMessage, deliver
from kielto.service.outbox.leader import Leader
from kielto.service.outbox.rejecting_topics import Refusals

_CHUNK = 2000

_REQUEST = """
INSERT INTO snapshots (family, generation, epoch)
SELECT $1::text, coalesce((SELECT max(generation) FROM snapshots WHERE family = $1), 0) + 1, epoch FROM epoch
RETURNING generation"""


async def request(conn: Conn, family: str) -> int:
    """Request a backfill; returns its generation. Gates stay shut from now until it is complete. Raises
    EpochNotOpenError.
    """
    generation = await conn.fetchval(_REQUEST, family)
    if generation is None:
        raise EpochNotOpenError
    return int(generation)


class Progress(NamedTuple):
    family: str
    generation: int
    words: str
    finished: bool


# `marks` of a newer generation are the same records' own, so a replaced backfill ends with the newer one.
_PROGRESS = """
SELECT s.family, s.generation, s.begin, s.complete,
    (SELECT count(*) FROM marks m WHERE m.family = s.family AND m.generation = s.generation) AS marks,
    EXISTS (SELECT FROM snapshots t
        WHERE t.family = s.family AND t.generation >= s.generation AND t.finished_at IS NOT NULL) AS finished
FROM snapshots s JOIN unnest($1::text[], $2::integer[]) AS w (family, generation) USING (family, generation)
ORDER BY s.family"""


async def progress(pool: Pool, generations: Mapping[str, int]) -> list[Progress]:
    """The progress of these backfills; one that a newer backfill has replaced counts as finished."""
    rows = await pool.fetch(_PROGRESS, list(generations), list(generations.values()))
    return [Progress(row["family"], row["generation"], _words(row), row["finished"]) for row in rows]


def _words(row: Any) -> str:
    if row["finished"]:
        return "finished"
    if not row["complete"]:
        return "waits for the relay" if row["begin"] is None else f"{row['marks']} marked so far"
    return f"{row['marks']} left to publish"


_FIRST = """
INSERT INTO snapshots (family, generation, epoch)
SELECT family, 1, epoch FROM epoch, unnest($1::text[]) AS family
ON CONFLICT DO NOTHING"""


async def request_first(conn: "Conn | Pool", families: Sequence[Family]) -> None:
    """Request generation 1 of every family that has none yet. Does nothing before the first epoch was claimed."""
    await conn.execute(_FIRST, [family.name for family in families])


# The newest backfill of a family that has something to do: one that waits for its marks to be published is
# passed over.
_NEXT = """
SELECT family, generation, begin, enumerated, complete FROM snapshots s
WHERE finished_at IS NULL AND family = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM snapshots t WHERE t.family = s.family AND t.generation > s.generation)
    AND NOT (complete AND EXISTS (
        SELECT FROM marks m WHERE m.family = s.family AND m.generation = s.generation))
ORDER BY requested_at LIMIT 1"""

_BEGIN = "UPDATE snapshots SET begin = $3::jsonb WHERE family = $1 AND generation = $2"

# Records that come later than this look at their key have a mark of their own, and stand above the noted
# offsets.
_ENUMERATE = """
WITH chunk AS (
    SELECT key FROM records WHERE family = $1 AND key > $3 ORDER BY key LIMIT $4
), marked AS (
    INSERT INTO marks (lane, family, key, generation) SELECT 'bulk', $1, key, $2 FROM chunk
)
UPDATE snapshots SET
    enumerated = coalesce((SELECT max(key) FROM chunk), enumerated),
    complete = (SELECT count(*) FROM chunk) < $4
WHERE family = $1 AND generation = $2"""

_COUNT = """
SELECT e.epoch, (SELECT count(*) FROM records WHERE family = $1 AND status = 'live') AS count FROM epoch e"""

_FINISHED = "UPDATE snapshots SET finished_at = now() WHERE family = $1 AND generation = $2"


class Snapshots:
    """The bulk lane's part of backfills."""

    def __init__(self, bootstrap: str, families: Mapping[str, Family], security: kafka.Security) -> None:
        self._bootstrap, self._families, self._security = bootstrap, families, security

    async def advance(self, conn: Leader, producer: Any, refusals: Refusals) -> bool:
        """Do one step of one backfill; False when there is nothing to do but wait. Raises LaneStoppedError."""
        row = await conn.fetchrow(_NEXT, list(refusals.going(self._families, Lane.BULK)))
        if row is None:
            return False
        family, generation = self._families[row["family"]], row["generation"]
        if row["begin"] is None:
            begin = await self._end_offsets(family)
            await conn.execute(_BEGIN, family.name, generation, json.dumps(begin))
        elif not row["complete"]:
            await conn.execute(_ENUMERATE, family.name, generation, row["enumerated"] or "", _CHUNK)
        else:
            await self._finish(conn, producer, refusals, family, generation, json.loads(row["begin"]))
        return True

    async def _end_offsets(self, family: Family) -> dict[str, list[int]]:
        async with kafka.started(kafka.consumer(self._bootstrap, security=self._security)) as consumer:
            topics = {"restrictions": family.express or family.bulk, "bulk": family.bulk}
            places = [kafka.TopicPartition(t, p) for t in set(topics.values()) for p in range(PARTITIONS)]
            ends = await kafka.end_offsets(consumer, places)
            return {
                name: [ends[kafka.TopicPartition(topic, p)] for p in range(PARTITIONS)]
                for name, topic in topics.items()
            }

    async def _finish(
        self,
        conn: Leader,
        producer: Any,
        refusals: Refusals,
        family: Family,
        generation: int,
        begin: dict[str, list[int]],
    ) -> None:
        row = await conn.fetchrow(_COUNT, family.name)
        assert row is not None
        messages = []
        for partition in range(PARTITIONS):
            event = control.SnapshotComplete(
                epoch=row["epoch"],
                generation=generation,
                count=row["count"],
                begin_restrictions=begin["restrictions"][partition],
                begin_bulk=begin["bulk"][partition],
            )
            encoded = envelope.encode(event, key=control.SNAPSHOT, source=family.writer)
            messages.append(OutboxMessage(family.bulk, partition, *encoded))
        delivered = await deliver(producer, messages)
        await refusals.note([family.bulk], delivered)
        if not delivered.refused:
            await conn.execute(_FINISHED, family.name, generation)
