"""Where a decision is: decision -> records -> positions in the log -> acknowledgements. All derived, nothing written.

A store (the contents that one or several instances of a subscriber write, by their generation) holds a version of a
record once it applied the first position, on either topic, of that version or a later one. Times: acknowledgements
have the broker's append time; decisions that of their receipt, by our clock or, from a topic, by the broker's.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn
from services.consents.store.permissions.consequences import OWED_FAMILIES
from services.consents.store.propagation.instances import FLAWED, LIVE, parameters

# Of a decision whose records are computed in portions, those to come stand as one record more that nobody has.
_WHEREABOUTS = f"""
WITH {LIVE}, {OWED_FAMILIES}, record AS MATERIALIZED (
    SELECT decision, family, key, epoch, n, held, since FROM decision_records
    WHERE decision = ANY($4::uuid[]) AND ($5 OR NOT by_link)
    UNION ALL
    SELECT decision, family, '', 2147483647, 0, false, NULL FROM owed_families WHERE decision = ANY($4::uuid[])
), place AS MATERIALIZED (
    SELECT DISTINCT ON (r.decision, r.family, r.key, p.topic_id)
        r.decision, r.family, r.key, p.topic, p.topic_id, p.partition, p."offset"
    FROM record r JOIN publications p ON p.family = r.family AND p.key = r.key AND (p.epoch, p.n) >= (r.epoch, r.n)
    ORDER BY r.decision, r.family, r.key, p.topic_id, p.at, p."offset"
), held AS MATERIALIZED (
    SELECT r.decision, s.subscriber, r.key, (
        SELECT min(a.appended_at)
        FROM place p CROSS JOIN LATERAL (
            SELECT appended_at FROM acks a
            WHERE a.topic_id = p.topic_id AND a.partition = p.partition AND a.subscriber = s.subscriber
                AND a.generation = s.generation AND a.upto > p."offset"
            ORDER BY a.upto LIMIT 1
        ) a
        WHERE p.decision = r.decision AND p.family = r.family AND p.key = r.key AND NOT {FLAWED}
    ) AS at
    FROM record r JOIN store s ON s.party = r.family
), applied AS (
    SELECT decision, subscriber, key, bool_and(at IS NOT NULL) AS everywhere, max(at) AS at
    FROM held GROUP BY decision, subscriber, key
), party AS (
    SELECT decision, family, min(since) AS since, bool_and(held) AS held, count(*) AS records,
        count(*) FILTER (WHERE EXISTS (
            SELECT FROM place p WHERE p.decision = r.decision AND p.family = r.family AND p.key = r.key)) AS published
    FROM record r GROUP BY decision, family
)
SELECT f.decision, s.id AS subscriber, coalesce(f.since, d.received_at) AS since, f.records, f.published,
    count(*) FILTER (WHERE a.everywhere) AS applied, max(a.at) AS applied_at, f.held
FROM party f JOIN decisions d ON d.id = f.decision JOIN subscriber s ON s.party = f.family
LEFT JOIN applied a ON a.decision = f.decision AND a.subscriber = s.id
GROUP BY f.decision, s.id, f.since, d.received_at, f.records, f.published, f.held
ORDER BY f.decision, s.id"""  # noqa: S608 - constants of ours

_RECEIPTS = """
SELECT id, party, received_at FROM decisions WHERE id = ANY ($1::uuid[]) ORDER BY received_at"""


class Whereabouts(NamedTuple):
    """One decision at one subscriber: since when its party has records that show it, how many there are, how many are
    published, and how many every live store has applied. `held`: each of them is as it was before the decision.
    """

    decision: UUID
    subscriber: str
    since: datetime
    records: int
    published: int
    applied: int
    applied_at: datetime | None
    held: bool


class ReceivedDecision(NamedTuple):
    """`party`: who brought the decision; None: ourselves."""

    decision: UUID
    party: str | None
    received_at: datetime


async def whereabouts(
    conn: Conn, asked: Sequence[UUID], subscribers: Sequence[SubscriberSystem], *, links: bool
) -> list[Whereabouts]:
    """Of each decision, only subscribers whose party has a record that shows it. `links`: with records of those whom it
    binds only since they may be the same person: for the group alone."""
    rows = await conn.fetch(_WHEREABOUTS, *parameters(subscribers), asked, links)
    return [Whereabouts(*row) for row in rows]


async def receipts(conn: Conn, decisions: Sequence[UUID]) -> list[ReceivedDecision]:
    rows = await conn.fetch(_RECEIPTS, decisions)
    return [ReceivedDecision(*row) for row in rows]


class RecordPlace(NamedTuple):
    """The first position, on one topic, of a version of a record that shows the decision."""

    topic: str
    topic_id: UUID
    partition: int
    offset: int
    epoch: int
    n: int
    at: datetime


_PLACES = """
WITH place AS (
    SELECT DISTINCT ON (r.family, r.key, p.topic) p.topic, p.topic_id, p.partition, p."offset", p.epoch, p.n, p.at
    FROM decision_records r
    JOIN publications p ON p.family = r.family AND p.key = r.key AND (p.epoch, p.n) >= (r.epoch, r.n)
    WHERE r.decision = $1 AND r.family = ANY ($2::text[]) AND ($4 OR NOT r.by_link)
    ORDER BY r.family, r.key, p.topic, p.at, p."offset"
)
SELECT *, count(*) OVER () AS in_all FROM place ORDER BY at, topic, partition, "offset" LIMIT $3"""


async def places(
    conn: Conn, decision: UUID, families: Sequence[str], limit: int, *, links: bool
) -> tuple[list[RecordPlace], int]:
    """The first ones, at most `limit`, and how many there are. `links`: see `whereabouts`."""
    rows = await conn.fetch(_PLACES, decision, families, limit, links)
    return [RecordPlace(*list(row)[:-1]) for row in rows], rows[0]["in_all"] if rows else 0
