"""Records with unreadable keys: publish again everything that they may have hidden, then void them.

Contract, "Poison". A subscriber closes its gate for the partition at such a record, since nobody can say whom it
denies, and opens it when it reads the void. The records go on the lane of the topic with the unreadable record, so
that whoever reads the void has read them before. Each step is committed before the next and can be repeated: a crash
leads to records or a void published twice, never to a void too early.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg

from kielto.events import control, envelope
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.kafka import partition_of
from kielto.service.auditor.rules import LogPlace
from kielto.service.database.pool import Conn, Pool
from kielto.service.outbox.batch_send import LaneStoppedError, OutboxMessage, deliver

_CHUNK = 500
"""Records at a time on their lane: a ban waits for at most this many."""
_LOOKED_AT = _CHUNK * PARTITIONS

_QUEUE = """
INSERT INTO voids (family, topic, topic_id, partition, "offset") VALUES ($1, $2, $3, $4, $5)
ON CONFLICT DO NOTHING"""


async def queue(conn: "Conn | Pool", place: LogPlace) -> bool:
    """Queue a void; return False when it was queued before."""
    family, topic, topic_id, partition, offset = place
    status = await conn.execute(_QUEUE, family.name, topic, topic_id, partition, offset)
    return str(status).endswith(" 1")


# One that waits for its marks to be published is passed over.
_NEXT = """
SELECT id, family, topic, topic_id, partition, "offset", enumerated, complete FROM voids v
WHERE state = 'open' AND family = ANY($1::text[])
    AND NOT EXISTS (SELECT FROM marks m WHERE m.family = v.family AND m.generation = -v.id)
ORDER BY id"""


async def advance(
    conn: "asyncpg.Connection[asyncpg.Record]", producer: Any, families: Mapping[str, Family]
) -> bool:
    """One step of each void that need not wait for the relay; False when there was none. Raises LaneStoppedError."""
    rows = await conn.fetch(_NEXT, list(families))
    for row in rows:
        family = families[row["family"]]
        if not row["complete"]:
            async with conn.transaction():
                await _enumerate(conn, row, family)
        else:
            await _publish(conn, producer, row, family)
    return bool(rows)


_KEYS = "SELECT key FROM records WHERE family = $1 AND key > $2 ORDER BY key LIMIT $3"

_MARK = """
WITH marked AS (
    INSERT INTO marks (lane, family, key, generation)
    SELECT $1, $2, key, $4 FROM unnest($3::text[]) AS key
    RETURNING lane
)
SELECT pg_notify('kielto_express', '') FROM marked WHERE lane = 'express' LIMIT 1"""

_ENUMERATED = "UPDATE voids SET enumerated = $2, complete = $3 WHERE id = $1"


async def _enumerate(conn: Conn, row: asyncpg.Record, family: Family) -> None:
    """Mark the next records of the partition; the marks and the place up to which they go, or neither."""
    looked = [r["key"] for r in await conn.fetch(_KEYS, family.name, row["enumerated"], _LOOKED_AT)]
    keys = [key for key in looked if partition_of(key.encode(), PARTITIONS) == row["partition"]]
    lane = Lane.EXPRESS if row["topic"] == family.express else Lane.BULK
    await conn.execute(_MARK, lane.value, family.name, keys, -row["id"])
    last = looked[-1] if looked else row["enumerated"]
    await conn.execute(_ENUMERATED, row["id"], last, len(looked) < _LOOKED_AT)


_PUBLISHED = """
WITH published AS (
    UPDATE voids SET state = 'published' WHERE id = $1 RETURNING topic_id, partition, "offset"
)
UPDATE audit_findings f SET state = 'repaired', ended_at = now() FROM published p
WHERE f.topic_id = p.topic_id AND f.partition = p.partition AND f."offset" = p."offset" AND f.kind = 'foreign'
    AND f.key IS NULL AND f.state = 'open'"""


async def _publish(conn: Conn, producer: Any, row: asyncpg.Record, family: Family) -> None:
    """Send the void, and store that it is published after the broker's answer. A service without a restrictions topic
    has no gates to open.
    """
    if family.express:
        event = control.Void(topic_id=row["topic_id"], partition=row["partition"], offset=row["offset"])
        encoded = envelope.encode(event, key=event.key(), source=family.writer)
        delivered = await deliver(producer, [OutboxMessage(family.express, row["partition"], *encoded)])
        if None in delivered.offsets:
            raise LaneStoppedError from delivered.error
    await conn.execute(_PUBLISHED, row["id"])
