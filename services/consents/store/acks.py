"""What subscribers acknowledge: positions of their stores, exceptions, and which instances there are."""

from collections.abc import Sequence
from datetime import datetime

from kielto.events.messages import Acknowledgement, Position
from kielto.service.postgres import Conn

# An acknowledgement that comes late, or again, moves nothing back. Only advances are kept as proof.
_TAKE_IN = """
WITH alive AS (
    INSERT INTO instances AS i (subscriber, instance, generation, seen_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (subscriber, instance) DO UPDATE SET generation = excluded.generation, seen_at = excluded.seen_at
    WHERE i.seen_at <= excluded.seen_at
), moved AS (
    INSERT INTO ack_positions AS p (subscriber, generation, topic, topic_id, partition, upto)
    SELECT $1, $3, topic, topic_id, partition, upto
    FROM unnest($5::text[], $6::uuid[], $7::integer[], $8::bigint[]) AS n (topic, topic_id, partition, upto)
    ORDER BY topic_id, partition
    ON CONFLICT (subscriber, generation, topic_id, partition) DO UPDATE SET upto = excluded.upto
    WHERE p.upto < excluded.upto
    RETURNING topic_id, partition, upto, coalesce(old.upto, 0) AS before
), noted AS (
    INSERT INTO acks (topic_id, partition, subscriber, generation, upto, appended_at)
    SELECT topic_id, partition, $1, $3, upto, $4 FROM moved
    ON CONFLICT DO NOTHING
), readable AS (
    DELETE FROM ack_exceptions e
    WHERE subscriber = $1 AND instance = $2 AND NOT EXISTS (
        SELECT FROM unnest($9::text[], $10::integer[], $11::bigint[]) AS n (topic, partition, at)
        WHERE n.topic = e.topic AND n.partition = e.partition AND n.at = e."offset")
), unreadable AS (
    INSERT INTO ack_exceptions (subscriber, instance, topic, partition, "offset", key, reason)
    SELECT $1, $2, * FROM unnest($9::text[], $10::integer[], $11::bigint[], $12::text[], $13::text[])
    ON CONFLICT DO NOTHING
)
SELECT DISTINCT d.id, d.received_at
FROM moved m
JOIN publications p ON p.topic_id = m.topic_id AND p.partition = m.partition
    AND p."offset" >= m.before AND p."offset" < m.upto
JOIN decision_records r ON r.family = p.family AND r.key = p.key AND r.epoch = p.epoch AND r.n = p.n
JOIN decisions d ON d.id = r.decision"""


async def take_in(
    conn: Conn, acknowledgement: Acknowledgement, positions: Sequence[Position], appended_at: datetime
) -> list[datetime]:
    """Keep what it says at the time when the broker appended it. Returns when each decision was received whose
    record it is the first of its store to cover."""
    ack, except_for = acknowledgement, acknowledgement.exceptions
    rows = await conn.fetch(
        _TAKE_IN,
        ack.subscriber,
        ack.instance,
        ack.generation,
        appended_at,
        [p.topic for p in positions],
        [p.topic_id for p in positions],
        [p.partition for p in positions],
        [p.offset for p in positions],
        [e.topic for e in except_for],
        [e.partition for e in except_for],
        [e.offset for e in except_for],
        [e.key for e in except_for],
        [e.reason for e in except_for],
    )
    return [row["received_at"] for row in rows]
