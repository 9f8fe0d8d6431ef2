"""Where decisions are: decision -> records -> positions in the log -> acknowledgements. All derived, nothing written.

A store (the contents that one or several instances of a subscriber write, by their generation) holds a version of a
record once it applied the first position, on either topic, of that version or a later one. Times: acknowledgements
have the broker's append time; decisions that of their receipt, by our clock or, from a topic, by the broker's.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from kielto.events.topics import PARTITIONS
from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn
from kielto.subscriber.sync.acks import progress_seconds
from services.consents.store.permissions.consequences import OWED_FAMILIES

BEHIND = 10_000
COUNTED = 5_000
"""Records that a subscriber lacks, so many in a partition and the oldest of them, are looked at."""

# The instances that count: all but those that are silent while another of the subscriber was heard for a whole life of
# theirs. Only the broker's times are compared: no clock of ours can end an instance, nor an outage of the broker.
_LIVE = """
subscriber (id, party, seconds) AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::float8[])
), live AS MATERIALIZED (
    SELECT s.id AS subscriber, s.party, i.instance, i.generation
    FROM subscriber s JOIN instances i ON i.subscriber = s.id
    WHERE NOT EXISTS (
        SELECT FROM instances o
        WHERE o.subscriber = s.id AND o.seen_at - greatest(o.since, i.seen_at) > make_interval(secs => s.seconds))
), store AS MATERIALIZED (
    SELECT DISTINCT subscriber, party, generation FROM live
), flaw AS MATERIALIZED (
    SELECT l.subscriber, l.generation, e.topic, e.partition, e."offset", e.key
    FROM live l JOIN ack_exceptions e USING (subscriber, instance)
)"""

# Of a store `s` and a record's position `p`: an exception counts against its key, wherever that stands; one whose key
# nobody can read, against everything at or above it in its partition.
_FLAWED = """EXISTS (
    SELECT FROM flaw f WHERE f.subscriber = s.subscriber AND f.generation = s.generation AND (
        f.key = p.key
        OR f.key IS NULL AND f.topic = p.topic AND f.partition = p.partition AND p."offset" >= f."offset"))"""

# Of a decision whose records are computed in portions, those to come stand as one record more that nobody has.
_WHEREABOUTS = f"""
WITH {_LIVE}, {OWED_FAMILIES}, record AS MATERIALIZED (
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
        WHERE p.decision = r.decision AND p.family = r.family AND p.key = r.key AND NOT {_FLAWED}
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

# What one subscriber lacks, found from the other end: records that stand past what its stores have come to, or that a
# store could not read, or that are still in the outbox. All else is held, and not looked at. Of each such record the
# version that every store holds (`low`; 0 for none); what is above it is lacking.
_LACKING = f"""
WITH RECURSIVE {_LIVE}, known AS (
    (SELECT topic_id FROM publications ORDER BY topic_id LIMIT 1)
    UNION ALL
    SELECT (SELECT p.topic_id FROM publications p WHERE p.topic_id > k.topic_id ORDER BY p.topic_id LIMIT 1)
    FROM known k WHERE k.topic_id IS NOT NULL
), topic AS MATERIALIZED ( -- of each name the one that is written now: topics may have been made anew
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
        WHERE p.family = b.party AND p.key = k.key AND NOT {_FLAWED}
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
SELECT b.id AS subscriber,
    (SELECT max(seen_at) FROM instances i WHERE i.subscriber = b.id) AS seen_at,
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


_INSTANCES = f"""
WITH {_LIVE}
SELECT i.subscriber, i.instance, i.generation, i.seen_at, EXISTS (
    SELECT FROM live l WHERE l.subscriber = i.subscriber AND l.instance = i.instance) AS live
FROM instances i JOIN subscriber s ON s.id = i.subscriber
ORDER BY i.subscriber, i.seen_at DESC, i.instance LIMIT 1000"""  # noqa: S608

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


class Whereabouts(NamedTuple):
    """Of one decision at one subscriber: since when its party has records that show it, how many, those published,
    those applied by every live store. `held`: each of them stood as it is before the decision."""

    decision: UUID
    subscriber: str
    since: datetime
    records: int
    published: int
    applied: int
    applied_at: datetime | None
    held: bool


class SubscriberState(NamedTuple):
    """`stores`: live ones, 0 when it was never seen. `missing_since`: when the oldest record that it lacks went out."""

    subscriber: str
    seen_at: datetime | None
    stores: int
    exceptions: int
    missing_since: datetime | None
    overdue: int
    claims_beyond_end: int


class ReceivedDecision(NamedTuple):
    """`party`: who brought the decision; None: ourselves."""

    decision: UUID
    party: str | None
    received_at: datetime


class OverdueDecision(NamedTuple):
    """What a subscriber has lacked since then. `party`: who brought the decision; None: ourselves."""

    decision: UUID
    party: str | None
    received_at: datetime
    since: datetime


class Instance(NamedTuple):
    """`generation`: the identity of its store's contents. `seen_at`: the broker's time of its last acknowledgement."""

    subscriber: str
    instance: UUID
    generation: UUID
    seen_at: datetime
    live: bool


class Partition(NamedTuple):
    """`applied`: the next offset to apply of the slowest live store. `behind`: records published past it, at most
    `BEHIND`; the oldest of them went out at `behind_since`."""

    topic: str
    partition: int
    applied: int
    published: int
    behind: int
    behind_since: datetime | None


async def whereabouts(
    conn: Conn, asked: Sequence[UUID], subscribers: Sequence[SubscriberSystem], *, links: bool
) -> list[Whereabouts]:
    """Of each decision, only subscribers whose party has a record that shows it. `links`: with records of those whom it
    binds only since they may be the same person: for the group alone."""
    rows = await conn.fetch(_WHEREABOUTS, *_parameters(subscribers), asked, links)
    return [Whereabouts(*row) for row in rows]


async def state(conn: Conn, subscriber: SubscriberSystem, now: datetime) -> SubscriberState:
    """How it stands. Costs what it lacks, not what there is: of a million decisions a millisecond when it lacks none,
    else some 20 microseconds for each record that it lacks, at most `COUNTED` in a partition."""
    row = await conn.fetchrow(_STATE, *_parameters([subscriber]), PARTITIONS, COUNTED, _due(subscriber, now))
    assert row is not None  # the statement selects one row
    return SubscriberState(*row)


async def receipts(conn: Conn, decisions: Sequence[UUID]) -> list[ReceivedDecision]:
    rows = await conn.fetch(
        "SELECT id, party, received_at FROM decisions WHERE id = ANY($1::uuid[]) ORDER BY received_at",
        decisions,
    )
    return [ReceivedDecision(*row) for row in rows]


async def overdue(
    conn: Conn, subscriber: SubscriberSystem, now: datetime, after: tuple[datetime, UUID], limit: int
) -> list[OverdueDecision]:
    """What it lacks past its deadline, the oldest receipts first, after the given receipt and decision.

    Each page costs what `state` does, and has the same bound.
    """
    due = _due(subscriber, now)
    rows = await conn.fetch(_OVERDUE, *_parameters([subscriber]), PARTITIONS, COUNTED, due, *after, limit)
    return [OverdueDecision(*row) for row in rows]


async def instances(conn: Conn, subscribers: Sequence[SubscriberSystem]) -> list[Instance]:
    """Of each subscriber, the latest first."""
    return [Instance(*row) for row in await conn.fetch(_INSTANCES, *_parameters(subscribers))]


async def partitions(conn: Conn, subscriber: SubscriberSystem) -> list[Partition]:
    """How far it is, in each partition of its party's topics that anything was published in."""
    rows = await conn.fetch(_PARTITIONS, *_parameters([subscriber]), PARTITIONS, COUNTED)
    return [Partition(*row) for row in rows]


def _due(subscriber: SubscriberSystem, now: datetime) -> datetime:
    """What it lacks since before then is overdue."""
    return now - timedelta(seconds=subscriber.deadline_seconds)


def _parameters(subscribers: Sequence[SubscriberSystem]) -> tuple[list[str], list[str], list[float]]:
    return [s.id for s in subscribers], [s.party for s in subscribers], [life_seconds(s) for s in subscribers]


def life_seconds(subscriber: SubscriberSystem) -> float:
    """An instance that is silent for longer than this, while others of the subscriber speak, is gone."""
    return subscriber.stale_seconds + progress_seconds(subscriber.stale_seconds)
