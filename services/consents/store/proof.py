"""Where decisions are: decision -> records -> positions in the log -> acknowledgements. All derived, nothing written.

Parameters `subscribers`, `parties`, `seconds` are parallel: each subscriber, its party, and after how many seconds
without an acknowledgement an instance of it counts as gone.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg

from kielto.group import Subscriber
from kielto.service.postgres import Conn

# The instances that count: those that acknowledged lately; when there are none, the last one that did.
_LIVE = """
subscriber (id, party, seconds) AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::float8[])
), live AS MATERIALIZED (
    SELECT DISTINCT s.id AS subscriber, s.party, i.generation
    FROM subscriber s CROSS JOIN LATERAL (
        SELECT generation, seen_at, max(seen_at) OVER () AS newest FROM instances WHERE subscriber = s.id
    ) i
    WHERE i.seen_at > $4::timestamptz - make_interval(secs => s.seconds) OR i.seen_at = i.newest
)"""

# A store holds a version of a record once it applied the first position, on either topic, of that version or a later.
_WHEREABOUTS = f"""
WITH {_LIVE}, record AS (
    SELECT family, key, epoch, n FROM decision_records WHERE decision = $5
), place AS MATERIALIZED (
    SELECT DISTINCT ON (r.family, r.key, p.topic) r.family, r.key, p.topic_id, p.partition, p."offset", p.at
    FROM record r JOIN publications p ON p.family = r.family AND p.key = r.key AND (p.epoch, p.n) >= (r.epoch, r.n)
    ORDER BY r.family, r.key, p.topic, p.at, p."offset"
), held AS (
    SELECT l.subscriber, l.generation, r.key, (
        SELECT min(a.appended_at)
        FROM place p CROSS JOIN LATERAL (
            SELECT appended_at FROM acks a
            WHERE a.topic_id = p.topic_id AND a.partition = p.partition AND a.subscriber = l.subscriber
                AND a.generation = l.generation AND a.upto > p."offset"
            ORDER BY a.upto LIMIT 1
        ) a
        WHERE p.family = r.family AND p.key = r.key AND NOT EXISTS (
            SELECT FROM ack_exceptions e JOIN instances i USING (subscriber, instance)
            WHERE e.subscriber = l.subscriber AND i.generation = l.generation AND e.key = r.key)
    ) AS at
    FROM record r JOIN live l ON l.party = r.family
)
SELECT s.id AS subscriber,
    (SELECT count(*) FROM record r WHERE r.family = s.party) AS records,
    (SELECT count(*) FROM record r WHERE r.family = s.party
        AND EXISTS (SELECT FROM place p WHERE p.family = r.family AND p.key = r.key)) AS published,
    (SELECT count(*) FROM (
        SELECT FROM held h WHERE h.subscriber = s.id GROUP BY h.key HAVING bool_and(h.at IS NOT NULL)) x) AS applied,
    (SELECT max(h.at) FROM held h WHERE h.subscriber = s.id) AS applied_at
FROM subscriber s
WHERE EXISTS (SELECT FROM record r WHERE r.family = s.party)
ORDER BY s.id"""  # noqa: S608 - constants of ours

# By partition the least that the live stores have come to. A partition of which one says nothing: nothing of it.
_REACHED = """
reached AS MATERIALIZED (
    SELECT l.subscriber, l.party, k.topic_id, k.partition, min(coalesce(p.upto, 0)) AS upto
    FROM live l
    JOIN (SELECT DISTINCT subscriber, topic_id, partition FROM ack_positions) k USING (subscriber)
    LEFT JOIN ack_positions p ON p.subscriber = l.subscriber AND p.generation = l.generation
        AND p.topic_id = k.topic_id AND p.partition = k.partition
    GROUP BY l.subscriber, l.party, k.topic_id, k.partition
)"""

_SUBSCRIBERS = f"""
WITH {_LIVE}, {_REACHED}, missing AS MATERIALIZED (
    SELECT r.subscriber, p.family, p.key, p.epoch, p.n, p.at
    FROM reached r JOIN publications p
        ON p.topic_id = r.topic_id AND p.partition = r.partition AND p."offset" >= r.upto AND p.family = r.party
), waiting AS (
    SELECT m.subscriber, d.decision, d.family, d.key FROM missing m
    JOIN decision_records d ON d.family = m.family AND d.key = m.key AND (d.epoch, d.n) = (m.epoch, m.n)
    UNION
    SELECT s.id, d.decision, d.family, d.key FROM marks k JOIN subscriber s ON s.party = k.family
    JOIN records r ON r.family = k.family AND r.key = k.key
    JOIN decision_records d ON d.family = k.family AND d.key = k.key AND (d.epoch, d.n) = (r.epoch, r.n)
    WHERE k.lane = 'express' AND k.created_at < $4
)
SELECT s.id AS subscriber,
    (SELECT max(seen_at) FROM instances i WHERE i.subscriber = s.id) AS seen_at,
    (SELECT count(*) FROM live l WHERE l.subscriber = s.id) AS stores,
    (SELECT count(*) FROM ack_exceptions e WHERE e.subscriber = s.id) AS exceptions,
    (SELECT min(m.at) FROM missing m WHERE m.subscriber = s.id) AS missing_since,
    (SELECT count(DISTINCT w.decision) FROM waiting w JOIN decisions d ON d.id = w.decision
        WHERE w.subscriber = s.id AND d.received_at < $4::timestamptz - make_interval(secs => o.deadline)) AS overdue
FROM subscriber s JOIN unnest($1::text[], $5::float8[]) AS o (id, deadline) USING (id)
ORDER BY s.id"""  # noqa: S608 - constants of ours


class Whereabouts(NamedTuple):
    """Of one decision at one subscriber: records that show it, those published, those applied by every live store."""

    subscriber: str
    records: int
    published: int
    applied: int
    applied_at: datetime | None


class SubscriberState(NamedTuple):
    """`stores`: live ones, 0 when it was never seen. `missing_since`: when the oldest record that it lacks went out."""

    subscriber: str
    seen_at: datetime | None
    stores: int
    exceptions: int
    missing_since: datetime | None
    overdue: int


async def whereabouts(
    conn: Conn, decision: UUID, subscribers: Sequence[Subscriber], now: datetime
) -> list[Whereabouts]:
    """Only subscribers whose party has a record that shows the decision."""
    rows = await conn.fetch(_WHEREABOUTS, *_parameters(subscribers), now, decision)
    return [Whereabouts(*row) for row in rows]


async def states(conn: Conn, subscribers: Sequence[Subscriber], now: datetime) -> list[SubscriberState]:
    rows: list[asyncpg.Record] = await conn.fetch(
        _SUBSCRIBERS, *_parameters(subscribers), now, [s.deadline_seconds for s in subscribers]
    )
    return [SubscriberState(*row) for row in rows]


def _parameters(subscribers: Sequence[Subscriber]) -> tuple[list[str], list[str], list[float]]:
    return (
        [s.id for s in subscribers],
        [s.party for s in subscribers],
        [s.stale_seconds for s in subscribers],
    )
