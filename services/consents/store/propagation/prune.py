"""Delete acknowledgements and publications that prove nothing more. Each statement is a transaction of its own, so it
may be repeated or interrupted.

Kept of publications: for each decision on a record the first position on each topic that shows it, and each record's
newest. Kept of acknowledgements: those that were the first to cover a publication, and each store's last. So every
applied time stays; what goes is progress reported by beats and records that were published again.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from kielto.service.database.pool import Conn

_KEYS = """
SELECT family, key FROM publications WHERE (family, key) > ($1, $2)
GROUP BY family, key ORDER BY family, key LIMIT $3"""

# `at` of a publication is the primary's clock, as `$3` is; only what is surely complete is looked at.
_PUBLICATIONS = """
DELETE FROM publications p
USING unnest($1::text[], $2::text[]) AS k (family, key)
WHERE p.family = k.family AND p.key = k.key AND p.at < now() - $3::interval
    AND EXISTS (
        SELECT FROM publications q
        WHERE q.family = p.family AND q.key = p.key AND q.topic_id = p.topic_id AND q."offset" > p."offset"
            AND (q.epoch, q.n) >= (p.epoch, p.n))
    AND NOT EXISTS (
        SELECT FROM decision_records d
        WHERE d.family = p.family AND d.key = p.key AND (d.epoch, d.n) <= (p.epoch, p.n)
            AND NOT EXISTS (
                SELECT FROM publications q
                WHERE q.family = p.family AND q.key = p.key AND q.topic_id = p.topic_id
                    AND (q.epoch, q.n) >= (d.epoch, d.n) AND (q.at, q."offset") < (p.at, p."offset")))"""

_STORES = "SELECT subscriber, generation, topic_id, partition FROM ack_positions"

_ACKS = """
WITH ack AS MATERIALIZED (
    SELECT upto, appended_at, lag(upto, 1, 0::bigint) OVER (ORDER BY upto) AS before,
        lead(upto) OVER (ORDER BY upto) IS NULL AS last
    FROM acks WHERE subscriber = $1 AND generation = $2 AND topic_id = $3 AND partition = $4
), idle AS (
    SELECT upto FROM ack WHERE NOT last AND appended_at < $5 AND NOT EXISTS (
        SELECT FROM publications p
        WHERE p.topic_id = $3 AND p.partition = $4 AND p."offset" >= ack.before AND p."offset" < ack.upto)
)
DELETE FROM acks a USING idle i
WHERE a.subscriber = $1 AND a.generation = $2 AND a.topic_id = $3 AND a.partition = $4 AND a.upto = i.upto"""

# Instances that others of their subscriber have outlived by far.
_INSTANCES = """
WITH gone AS (
    DELETE FROM instances i
    WHERE EXISTS (
        SELECT FROM instances o WHERE o.subscriber = i.subscriber AND o.seen_at - i.seen_at > $1::interval
            AND o.seen_at - greatest(o.since, i.seen_at) > interval '1 hour')
    RETURNING subscriber, instance
)
DELETE FROM ack_exceptions e USING gone g WHERE e.subscriber = g.subscriber AND e.instance = g.instance"""

# Stores that nobody writes and nobody has heard of for so long.
_DEAD = """
WITH dead AS MATERIALIZED (
    SELECT subscriber, generation FROM stores s
    WHERE NOT EXISTS (
            SELECT FROM instances i WHERE i.subscriber = s.subscriber AND i.generation = s.generation)
        AND s.since < $1 AND NOT EXISTS (
            SELECT FROM ack_positions p JOIN acks a USING (topic_id, partition, subscriber, generation)
            WHERE p.subscriber = s.subscriber AND p.generation = s.generation AND a.upto = p.upto
                AND a.appended_at >= $1)
), positions AS (
    DELETE FROM ack_positions p USING dead d
    WHERE p.subscriber = d.subscriber AND p.generation = d.generation RETURNING p.*
), said AS (
    DELETE FROM acks a USING positions p
    WHERE a.topic_id = p.topic_id AND a.partition = p.partition AND a.subscriber = p.subscriber
        AND a.generation = p.generation
)
DELETE FROM stores s USING dead d WHERE s.subscriber = d.subscriber AND s.generation = d.generation"""


async def keys(conn: Conn, after: tuple[str, str], limit: int) -> list[tuple[str, str]]:
    """The (family, key) of the next records that were published at least once."""
    return [tuple(row) for row in await conn.fetch(_KEYS, *after, limit)]


async def publications(conn: Conn, found: Sequence[tuple[str, str]], age: timedelta) -> int:
    """Delete publications of these records older than `age` by the primary's clock; return how many."""
    done = await conn.execute(_PUBLICATIONS, [family for family, _ in found], [key for _, key in found], age)
    return _count(done)


async def acks(conn: Conn, before: datetime) -> int:
    """Delete acknowledgements that the broker appended before then; return how many."""
    return sum([_count(await conn.execute(_ACKS, *store, before)) for store in await conn.fetch(_STORES)])


async def stores(conn: Conn, silence: timedelta, dead_before: datetime) -> None:
    """Delete instances that were silent for so long, an hour of it while another acknowledged; then stores that no
    instance has any more and that were last heard of before.
    """
    await conn.execute(_INSTANCES, silence)
    await conn.execute(_DEAD, dead_before)


def _count(done: str) -> int:
    return int(done.rpartition(" ")[2])
