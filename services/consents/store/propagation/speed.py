"""How fast decisions travel, from receipt to applied, over whole weeks.

A subscriber has applied a decision when the slowest of its stores has that existed when it was received. A younger
store took it by a backfill; one that ended before applying it never counts.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn

SAMPLE = 20_000
"""The most decisions of a week that are measured; of more, every n-th by the hash of its id."""

_COUNT = "SELECT count(*) FROM decisions WHERE received_at >= $1 AND received_at < $2"

_PROPAGATION = """
WITH subscriber (id, party) AS (
    SELECT * FROM unnest($1::text[], $2::text[])
), record AS MATERIALIZED (
    SELECT d.id AS decision, d.received_at, r.family, r.key, r.epoch, r.n
    FROM decisions d JOIN decision_records r ON r.decision = d.id
    WHERE d.received_at >= $3 AND d.received_at < $4 AND uuid_hash_extended(d.id, 0) % $5 = 0
        AND r.since IS NULL AND r.family = ANY($2::text[])
), place AS MATERIALIZED (
    SELECT DISTINCT ON (r.decision, r.family, r.key, p.topic_id)
        r.decision, r.received_at, r.family, r.key, p.topic_id, p.partition, p."offset"
    FROM record r JOIN publications p ON p.family = r.family AND p.key = r.key AND (p.epoch, p.n) >= (r.epoch, r.n)
    ORDER BY r.decision, r.family, r.key, p.topic_id, p.at, p."offset"
), held AS (
    SELECT p.decision, p.received_at, b.party, b.id AS subscriber, s.generation, p.key, min(a.appended_at) AS at
    FROM place p
    JOIN subscriber b ON b.party = p.family
    JOIN stores s ON s.subscriber = b.id AND s.since <= p.received_at
    LEFT JOIN LATERAL (
        SELECT appended_at FROM acks a
        WHERE a.topic_id = p.topic_id AND a.partition = p.partition AND a.subscriber = b.id
            AND a.generation = s.generation AND a.upto > p."offset"
        ORDER BY a.upto LIMIT 1
    ) a ON true
    GROUP BY p.decision, p.received_at, b.party, b.id, s.generation, p.key
), applied AS (
    SELECT decision, received_at, party, subscriber, generation, max(at) AS at
    FROM held GROUP BY decision, received_at, party, subscriber, generation HAVING bool_and(at IS NOT NULL)
), took AS (
    SELECT received_at, party, subscriber, extract(epoch FROM max(at) - received_at)::float8 AS seconds
    FROM applied GROUP BY decision, received_at, party, subscriber HAVING max(at) >= received_at
)
SELECT party, subscriber, count(*) AS decisions,
    percentile_disc(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY seconds) AS seconds
FROM took GROUP BY GROUPING SETS ((party), (party, subscriber))
ORDER BY party, subscriber NULLS FIRST"""


class Propagation(NamedTuple):
    """`subscriber` None: all of the party. Seconds at the 50th, 95th, 99th percentile and the longest; `decisions`:
    decisions times subscribers that were measured, of which one in `one_in` was looked at."""

    party: str
    subscriber: str | None
    decisions: int
    seconds: list[float]
    one_in: int


async def propagation(
    conn: Conn, subscribers: Sequence[SubscriberSystem], begin: datetime, end: datetime
) -> list[Propagation]:
    """Of decisions received between `begin` and `end`. Left out: decisions that waited for somebody to be known,
    records that were the same before, and what has not arrived.
    """
    there_are = int(await conn.fetchval(_COUNT, begin, end) or 0)
    one_in = max(1, -(-there_are // SAMPLE))
    parties = [s.party for s in subscribers]
    rows = await conn.fetch(_PROPAGATION, [s.id for s in subscribers], parties, begin, end, one_in)
    return [
        Propagation(row["party"], row["subscriber"], row["decisions"], row["seconds"], one_in) for row in rows
    ]
