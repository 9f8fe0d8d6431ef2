"""What subscribers acknowledge: positions of their stores, exceptions, instances, and applied erasures."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog

from kielto.events.messages import Acknowledgement, Position
from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn, columns
from kielto.service.outbox.tombstones import ErasedRecord

log = structlog.get_logger(__name__)

# An instance's acknowledgements come in the order of its partition of the log, whatever their times say: so the last
# one names its store, and one that was emptied takes its proof back. Positions never go back within a store: where they
# do, it was restored together with the spool that knows its name, and is another one from then on, under a generation
# of ours. (Where all are read again it is another one, too, and has the old proof at the end.) Only advances are kept.
_TAKE_IN = """
WITH said AS MATERIALIZED (
    SELECT topic, topic_id, partition, upto
    FROM unnest($5::text[], $6::uuid[], $7::integer[], $8::bigint[]) AS n (topic, topic_id, partition, upto)
), known AS MATERIALIZED (
    SELECT CASE WHEN i.named = $3 THEN i.generation ELSE $3 END AS generation
    FROM (SELECT) one LEFT JOIN instances i ON i.subscriber = $1 AND i.instance = $2
), store AS MATERIALIZED (
    SELECT back, CASE WHEN back THEN gen_random_uuid() ELSE generation END AS generation
    FROM (SELECT k.generation, EXISTS (
        SELECT FROM said s JOIN ack_positions p USING (topic_id, partition)
        WHERE p.subscriber = $1 AND p.generation = k.generation AND s.upto < p.upto) AS back
    FROM known k) k
), alive AS (
    INSERT INTO instances AS i (subscriber, instance, named, generation, seen_at, since)
    SELECT $1, $2, $3, generation, $4, $4 FROM store
    ON CONFLICT (subscriber, instance) DO UPDATE SET
        named = excluded.named,
        generation = excluded.generation,
        seen_at = excluded.seen_at,
        since = CASE WHEN excluded.seen_at - i.seen_at > make_interval(secs => $14)
            THEN excluded.seen_at ELSE i.since END
), begun AS (
    INSERT INTO stores (subscriber, generation, since) SELECT $1, generation, $4 FROM store ON CONFLICT DO NOTHING
), moved AS (
    INSERT INTO ack_positions AS p (subscriber, generation, topic, topic_id, partition, upto)
    SELECT $1, generation, topic, topic_id, partition, upto FROM said, store
    ORDER BY topic_id, partition
    ON CONFLICT (subscriber, generation, topic_id, partition) DO UPDATE SET upto = excluded.upto
    WHERE p.upto < excluded.upto
    RETURNING topic_id, partition, upto, coalesce(old.upto, 0) AS before
), noted AS (
    INSERT INTO acks (topic_id, partition, subscriber, generation, upto, appended_at)
    SELECT topic_id, partition, $1, generation, upto, $4 FROM moved, store
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
SELECT NULL AS id, NULL AS since FROM store WHERE back
UNION ALL
SELECT DISTINCT d.id, coalesce(r.since, d.received_at) AS since
FROM store JOIN stores s USING (generation)
CROSS JOIN moved m
JOIN publications p ON p.topic_id = m.topic_id AND p.partition = m.partition
    AND p."offset" >= m.before AND p."offset" < m.upto
JOIN decision_records r ON r.family = p.family AND r.key = p.key AND (r.epoch, r.n) <= (p.epoch, p.n)
JOIN decisions d ON d.id = r.decision
WHERE s.subscriber = $1 AND coalesce(r.since, d.received_at) >= s.since
    AND NOT EXISTS (
        SELECT FROM publications q
        WHERE q.family = p.family AND q.key = p.key AND (q.epoch, q.n) >= (r.epoch, r.n) AND q.at < p.at)"""

# Of topics that are no more: where the last thing stood that was published there.
_PUBLISHED = """
SELECT n.topic_id, n.partition, (
    SELECT max(p."offset") + 1 FROM publications p WHERE p.topic_id = n.topic_id AND p.partition = n.partition) AS upto
FROM unnest($1::uuid[], $2::integer[]) AS n (topic_id, partition)"""

_NOTE_BEYOND_END = """
UPDATE instances SET beyond_end = beyond_end + $3, beyond_end_at = $4 WHERE subscriber = $1 AND instance = $2"""

_END = """
WITH unreadable AS (DELETE FROM ack_exceptions WHERE subscriber = $1 AND instance = $2)
DELETE FROM instances WHERE subscriber = $1 AND instance = $2 RETURNING 1"""


async def take_in(
    conn: Conn,
    ack: Acknowledgement,
    positions: Sequence[Position],
    appended_at: datetime,
    life_seconds: float,
) -> list[datetime]:
    """Store the acknowledgement at the time when the broker appended it. A silence of more than `life_seconds` ends
    with it.

    Returns, for each decision younger than the store whose first published record this acknowledgement is the store's
    first to cover, since when there was the decision. A store that was restored takes its proof back, which is logged.
    """
    rows = await conn.fetch(
        _TAKE_IN,
        ack.subscriber,
        ack.instance,
        ack.generation,
        appended_at,
        *columns(positions, "topic", "topic_id", "partition", "offset"),
        *columns(ack.exceptions, "topic", "partition", "offset", "key", "reason"),
        life_seconds,
    )
    if any(row["since"] is None for row in rows):
        log.warning("store.restored", subscriber=ack.subscriber, instance=str(ack.instance))
    return [row["since"] for row in rows if row["since"] is not None]


async def published(conn: Conn, positions: Sequence[Position]) -> dict[tuple[UUID, int], int]:
    """By topic id and partition: the offset behind the last record that was published there; 0 for none."""
    if not positions:
        return {}
    rows = await conn.fetch(_PUBLISHED, *columns(positions, "topic_id", "partition"))
    return {(row["topic_id"], row["partition"]): row["upto"] or 0 for row in rows}


async def note_beyond_end(
    conn: Conn, subscriber: str, instance: UUID, positions: int, appended_at: datetime
) -> None:
    """Count positions that the instance claimed and the broker had not given out."""
    await conn.execute(_NOTE_BEYOND_END, subscriber, instance, positions, appended_at)


async def end(conn: Conn, subscriber: str, instance: UUID) -> bool:
    """Delete an instance that is gone for good; False when there was none. If it acknowledges again, it is back."""
    return await conn.fetchval(_END, subscriber, instance) is not None


# A subscriber that was never heard of has applied nothing; of the others each store of its instances counts.
_APPLIED = """
WITH erased AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::uuid[], $4::integer[], $5::bigint[])
        AS e (family, key, topic_id, partition, place)
), subscriber AS (
    SELECT * FROM unnest($6::text[], $7::text[]) AS s (id, party)
)
SELECT e.family, e.key FROM erased e
WHERE EXISTS (SELECT FROM subscriber s WHERE s.party = e.family) AND NOT EXISTS (
    SELECT FROM subscriber s LEFT JOIN instances i ON i.subscriber = s.id
    LEFT JOIN ack_positions a ON a.subscriber = s.id AND a.generation = i.generation
        AND a.topic_id = e.topic_id AND a.partition = e.partition
    WHERE s.party = e.family AND coalesce(a.upto, 0) <= e.place)"""


async def applied_erasures(
    conn: Conn, erased: Sequence[ErasedRecord], subscribers: Sequence[SubscriberSystem]
) -> set[tuple[str, str]]:
    """(family, key) of erasures applied everywhere; an instance that is gone is waited for until the deadline."""
    known = [e for e in erased if e.offset is not None]
    places = columns(known, "family", "key", "topic_id", "partition", "offset")
    rows = await conn.fetch(_APPLIED, *places, *columns(subscribers, "id", "party"))
    return {(row["family"], row["key"]) for row in rows}
