"""What a subscriber lacks: records that its stores have not applied, and decisions that are overdue there."""

from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.events.topics import PARTITIONS
from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn
from services.consents.store.propagation.instances import FLAWED, LIVE, parameters

BEHIND = 10_000
"""The count of records that a store is behind in a partition stops here."""
COUNTED = 5_000
"""The most records of each partition that are looked at, the oldest ones that a subscriber lacks."""

# What one subscriber lacks, found from the other end: records that stand past what its stores have come to, or that a
# store could not read, or that are still in the outbox. All else is held, and not looked at. Of each such record the
# version that every store holds (`low`; 0 for none); what is above it is lacking.
_LACKING = f"""
WITH RECURSIVE {LIVE}, known AS (
    (SELECT topic_id FROM publications ORDER BY topic_id LIMIT 1)
    UNION ALL
    SELECT (SELECT p.topic_id FROM publications p WHERE p.topic_id > k.topic_id ORDER BY p.topic_id LIMIT 1)
    FROM known k WHERE k.topic_id IS NOT NULL
), topic AS MATERIALIZED ( -- of each name the one that is written now: topics may have been created again
    SELECT DISTINCT ON (f.topic) f.topic, k.topic_id
    FROM known k
    CROSS JOIN LATERAL (
        SELECT family, topic FROM publications p WHERE p.topic_id = k.topic_id ORDER BY p.partition, p."offset" LIMIT 1
    ) f
    CROSS JOIN LATERAL (
        SELECT max(e.at) AS at FROM generate_series(0, $4 - 1) part CROSS JOIN LATERAL (
            SELECT p.at FROM publications p WHERE p.topic_id = k.topic_id AND p.partition = part
            ORDER BY p."offset" DESC LIMIT 1) e
    ) newest
    WHERE f.family IN (SELECT party FROM subscriber)
    ORDER BY f.topic, newest.at DESC
), reached AS MATERIALIZED (
    SELECT t.topic_id, part AS partition, least(
        coalesce((
            SELECT min(coalesce(a.upto, 0)) FROM store s LEFT JOIN ack_positions a
                ON a.subscriber = s.subscriber AND a.generation = s.generation
                AND a.topic_id = t.topic_id AND a.partition = part), 0),
        (SELECT min(f."offset") FROM flaw f WHERE f.key IS NULL AND f.topic = t.topic AND f.partition = part)
    ) AS upto
    FROM topic t CROSS JOIN generate_series(0, $4 - 1) part
), suspect AS MATERIALIZED (
    SELECT p.key FROM reached r CROSS JOIN LATERAL ( -- the oldest first, by the index
        SELECT p.key FROM publications p
        WHERE p.topic_id = r.topic_id AND p.partition = r.partition AND p."offset" >= r.upto
        ORDER BY p."offset" LIMIT $5
    ) p
    UNION SELECT f.key FROM flaw f WHERE f.key IS NOT NULL
    UNION SELECT m.key FROM marks m JOIN subscriber b ON b.party = m.family WHERE m.generation IS NULL
), low AS MATERIALIZED (
    SELECT DISTINCT ON (k.key) b.party AS family, k.key, coalesce(h.epoch, 0) AS epoch, coalesce(h.n, 0) AS n
    FROM suspect k CROSS JOIN subscriber b LEFT JOIN store s ON true LEFT JOIN LATERAL (
        SELECT p.epoch, p.n
        FROM publications p JOIN ack_positions a
            ON a.subscriber = s.subscriber AND a.generation = s.generation
            AND a.topic_id = p.topic_id AND a.partition = p.partition AND a.upto > p."offset"
        WHERE p.family = b.party AND p.key = k.key AND NOT {FLAWED}
        ORDER BY p.epoch DESC, p.n DESC LIMIT 1
    ) h ON true
    ORDER BY k.key, coalesce(h.epoch, 0), coalesce(h.n, 0)
), lacking AS (
    SELECT d.id AS decision, d.received_at, d.party, min(coalesce(r.since, d.received_at)) AS since
    FROM low l
    JOIN decision_records r ON r.family = l.family AND r.key = l.key AND (r.epoch, r.n) > (l.epoch, l.n)
    JOIN decisions d ON d.id = r.decision
    GROUP BY d.id
)"""  # noqa: S608 - constants of ours

_STATE = f"""{_LACKING}
SELECT (SELECT max(seen_at) FROM instances i WHERE i.subscriber = b.id) AS seen_at,
    (SELECT count(*) FROM store) AS stores,
    (SELECT count(*) FROM (SELECT DISTINCT topic, partition, "offset" FROM flaw) f) AS exceptions,
    (SELECT min(p.at) FROM low l
        JOIN publications p ON p.family = l.family AND p.key = l.key AND (p.epoch, p.n) > (l.epoch, l.n)
    ) AS missing_since,
    (SELECT count(*) FROM lacking WHERE since < $6) AS overdue,
    (SELECT coalesce(sum(beyond_end), 0)::bigint FROM instances i WHERE i.subscriber = b.id) AS claims_beyond_end
FROM subscriber b"""  # noqa: S608

_OVERDUE = f"""{_LACKING}
SELECT decision, party, received_at, since FROM lacking
WHERE since < $6 AND (received_at, decision) > ($7::timestamptz, $8::uuid)
ORDER BY received_at, decision LIMIT $9"""  # noqa: S608

_PARTITIONS = f"""{_LACKING}
SELECT t.topic, r.partition, r.upto AS applied, coalesce(last."offset" + 1, 0) AS published,
    (SELECT count(*) FROM (SELECT FROM publications p
        WHERE p.topic_id = r.topic_id AND p.partition = r.partition AND p."offset" >= r.upto
        LIMIT {BEHIND}) b) AS behind,
    first.at AS behind_since
FROM reached r JOIN topic t USING (topic_id)
LEFT JOIN LATERAL (
    SELECT p."offset" FROM publications p WHERE p.topic_id = r.topic_id AND p.partition = r.partition
    ORDER BY p."offset" DESC LIMIT 1) last ON true
LEFT JOIN LATERAL (
    SELECT p.at FROM publications p
    WHERE p.topic_id = r.topic_id AND p.partition = r.partition AND p."offset" >= r.upto
    ORDER BY p."offset" LIMIT 1) first ON true
ORDER BY t.topic, r.partition"""  # noqa: S608


class SubscriberState(NamedTuple):
    """`stores`: live ones, 0 when it was never seen. `missing_since`: when the oldest record that it lacks went out."""

    seen_at: datetime | None
    stores: int
    exceptions: int
    missing_since: datetime | None
    overdue: int
    claims_beyond_end: int


class OverdueDecision(NamedTuple):
    """What a subscriber has lacked since then. `party`: who brought the decision; None: ourselves."""

    decision: UUID
    party: str | None
    received_at: datetime
    since: datetime


class Partition(BaseModel):
    topic: str
    partition: int
    applied: int = Field(description="The next offset to apply of its slowest live store.")
    published: int = Field(description="The offset behind the last record of ours.")
    behind: int = Field(description="Records published past `applied`; 10000 means at least so many.")
    behind_since: datetime | None = Field(
        description="When the first of them went out, by the primary's clock."
    )


async def state(conn: Conn, subscriber: SubscriberSystem, now: datetime) -> SubscriberState:
    """How the subscriber stands. Costs as much as it lacks, not as much as there is: a millisecond when it lacks
    nothing, even of a million decisions, else some 20 microseconds for each record, at most `COUNTED` in a partition.
    """
    row = await conn.fetchrow(_STATE, *parameters([subscriber]), PARTITIONS, COUNTED, _due(subscriber, now))
    assert row is not None  # the statement selects one row
    return SubscriberState(*row)


async def overdue(
    conn: Conn, subscriber: SubscriberSystem, now: datetime, after: tuple[datetime, UUID], limit: int
) -> list[OverdueDecision]:
    """Decisions that it has not applied by its deadline, the oldest receipts first, behind the given receipt and
    decision. Each page costs as much as `state`.
    """
    due = _due(subscriber, now)
    rows = await conn.fetch(_OVERDUE, *parameters([subscriber]), PARTITIONS, COUNTED, due, *after, limit)
    return [OverdueDecision(*row) for row in rows]


async def partitions(conn: Conn, subscriber: SubscriberSystem) -> list[Partition]:
    """How far it is, in each partition of its party's topics that anything was published in."""
    rows = await conn.fetch(_PARTITIONS, *parameters([subscriber]), PARTITIONS, COUNTED)
    return [Partition(**row) for row in rows]


def _due(subscriber: SubscriberSystem, now: datetime) -> datetime:
    """The time before which a missing record is overdue."""
    return now - timedelta(seconds=subscriber.deadline_seconds)
