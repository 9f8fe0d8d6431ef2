"""Tombstones: delete an erased record from its bulk topic when every subscriber has the erasure, or its deadline has
passed.

Contract, "Merge and erasure". The restrictions topic and `records` keep `erased` with its version. A tombstone waits in
`reports`, so that only the bulk relay writes the topic. Followers ignore tombstones, so an early or repeated one does
no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias
from uuid import UUID

from kielto.clock import Clock, utc_now
from kielto.events.topics import Family
from kielto.service.database.pool import Conn, Pool, transaction

_EVERY_SECONDS = 30.0
_AT_ONCE = 1000


class ErasedRecord(NamedTuple):
    """A published erasure without a tombstone. The place is known of parties' records: on express where there is
    such a topic.
    """

    family: str
    key: str
    since: datetime
    topic_id: UUID | None
    partition: int | None
    offset: int | None


Acknowledged: TypeAlias = Callable[[Conn, Sequence[ErasedRecord]], Awaitable[set[tuple[str, str]]]]
"""Returns those (family, key) that every live subscriber of the family's party has applied."""


async def nobody(_: Conn, __: Sequence[ErasedRecord]) -> set[tuple[str, str]]:
    """For topics without acknowledgements: only the deadline counts."""
    return set()


async def write_for_ever(
    pool: Pool,
    deadlines: Mapping[Family, float],
    acknowledged: Acknowledged = nobody,
    *,
    clock: Clock = utc_now,
) -> None:
    """`deadlines`: by family, seconds after which an erasure is not waited for any longer."""
    while True:
        await write(pool, deadlines, clock(), acknowledged)
        await asyncio.sleep(_EVERY_SECONDS)


# Published: no mark of it waits.
_WAITING = """
SELECT r.key, coalesce(p.at, r.changed_at), p.topic_id, p.partition, p."offset"
FROM records r LEFT JOIN LATERAL (
    SELECT at, topic_id, partition, "offset" FROM publications p
    WHERE p.family = r.family AND p.key = r.key AND (p.epoch, p.n) >= (r.epoch, r.n) AND p.topic = $2
    ORDER BY at LIMIT 1
) p ON true
WHERE r.family = $1 AND r.status = 'erased' AND r.key > $3
    AND NOT EXISTS (SELECT FROM tombstones t WHERE t.family = r.family AND t.key = r.key)
    AND NOT EXISTS (SELECT FROM marks m WHERE m.family = r.family AND m.key = r.key)
ORDER BY r.key LIMIT $4"""

_WRITE = """
WITH written AS (
    INSERT INTO tombstones (family, key) SELECT $1, key FROM unnest($3::text[]) AS key
    ON CONFLICT DO NOTHING RETURNING key
)
INSERT INTO reports (topic, key, value, headers) SELECT $2, key, NULL, '[]' FROM written
RETURNING key"""


async def write(
    pool: Pool, deadlines: Mapping[Family, float], now: datetime, acknowledged: Acknowledged = nobody
) -> int:
    """Queue the tombstones that are due by `now`; returns how many."""
    count = 0
    for family, seconds in deadlines.items():
        after, last = "", timedelta(seconds=seconds)
        async with transaction(pool) as conn:
            while rows := await conn.fetch(
                _WAITING, family.name, family.express or family.bulk, after, _AT_ONCE
            ):
                waiting = [ErasedRecord(family.name, *row) for row in rows]
                done = await acknowledged(conn, waiting)
                due = [e.key for e in waiting if (e.family, e.key) in done or now - e.since >= last]
                count += len(await conn.fetch(_WRITE, family.name, family.bulk, due))
                after = waiting[-1].key
    return count
