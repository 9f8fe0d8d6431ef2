"""Reconciliation in the database: what was asked and answered, what we have published, what differs."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg

from kielto.events.messages import Position, StoreDigest, StoreListing
from kielto.service.database.pool import Conn, Pool
from services.consents.model.reconcile import SHORT, Difference, HeldRecord, Range


class StoreAnswer(NamedTuple):
    id: int
    ask: UUID
    subscriber: str
    instance: UUID
    kind: str
    message: str


class Ours(NamedTuple):
    digests: dict[int, int]
    counts: dict[int, int]
    moving: set[int]


async def ask(conn: Conn, ident: UUID, subscriber: str, buckets: Sequence[int]) -> None:
    await conn.execute(_ASK, ident, subscriber, list(buckets))


async def due(conn: Conn, subscribers: Sequence[str], seconds: float, follow_up_seconds: float) -> list[str]:
    """Who was not asked for so long, each at its own time; or not for a while though differences are open."""
    return [row["subscriber"] for row in await conn.fetch(_DUE, subscribers, seconds, follow_up_seconds)]


async def keep(
    conn: Conn,
    message: StoreDigest | StoreListing,
    part: str,
    appended_at: datetime,
    life: timedelta,
    party: Sequence[str],
    most: int,
) -> bool:
    """An answer to a question that was asked, by an instance that lived then: it was heard of before, and had not been
    silent for `life`. Any other is passed over, and so is a second one.

    False: the subscribers `party` have given `most` answers within an hour, and it was dropped.
    """
    if await conn.fetchval(_GIVEN, list(party), appended_at, most) >= most:
        return False
    bucket = None if isinstance(message, StoreDigest) else message.bucket
    kind = "digest" if bucket is None else "listing"
    args = (message.ask, message.subscriber, message.instance, kind, part, appended_at)
    await conn.execute(_KEEP, *args, message.model_dump_json(), bucket, life)
    return True


async def waiting(conn: Conn) -> StoreAnswer | None:
    """One that was not judged, locked: the oldest of the subscriber whose last was judged the longest ago."""
    for row in await conn.fetch(_WHOSE_TURN):
        if (found := await conn.fetchrow(_WAITING, row["subscriber"])) is not None:
            return StoreAnswer(*found)
    return None


async def judged(conn: Conn, answer: StoreAnswer, found: tuple[int, int, int]) -> None:
    """`found`: how many buckets (or, of a listing, records) were compared, were left out, and differ."""
    await conn.execute(_JUDGED, answer.id, *found)


async def ours(conn: Conn, family: str, content: bool, positions: Sequence[Position]) -> Ours:
    """Digests of our records by bucket, and which buckets hold one that is on its way beyond the positions."""
    rows = await conn.fetch(_SUMS, family, content, *_columns(positions))
    return Ours(
        {row["bucket"]: int(row["total"]) for row in rows},
        {row["bucket"]: row["count"] for row in rows},
        {row["bucket"] for row in rows if row["moving"]},
    )


async def range_of_ours(
    conn: Conn, family: str, content: bool, positions: Sequence[Position], about: Range
) -> tuple[list[HeldRecord], set[str]]:
    """Our records in the range, and the first digits of those that are on their way."""
    rows = await conn.fetch(_RANGE, family, content, *_columns(positions), *about)
    held = [HeldRecord(row["key"], row["version"], row["hash"].hex()) for row in rows]
    return held, {row["key"][:SHORT] for row in rows if row["moving"]}


async def known(conn: Conn, family: str, keys: Sequence[str]) -> list[str]:
    """Those that have a record now, whatever it says."""
    rows = await conn.fetch(
        "SELECT key FROM records WHERE family = $1 AND key = ANY ($2::text[])", family, keys
    )
    return [row["key"] for row in rows]


async def permitting(conn: Conn, family: str, keys: Sequence[str]) -> set[str]:
    """Those whose record forbids nothing: it is live, has points, and allows something at each."""
    return {row["key"] for row in await conn.fetch(_PERMITTING, family, keys)}


async def note(
    conn: Conn, answer: StoreAnswer, found: Sequence[Difference], repairable: Sequence[bool]
) -> None:
    """Open a difference for each, or bring it up to date."""
    await conn.execute(
        _NOTE,
        answer.subscriber,
        answer.instance,
        [d.key for d in found],
        [d.kind for d in found],
        [d.theirs for d in found],
        [d.ours for d in found],
        list(repairable),
    )


async def agreed(conn: Conn, answer: StoreAnswer, about: Range, but: Sequence[str]) -> None:
    """The store agrees with us on this range of keys, but for those that begin like these."""
    await conn.execute(_AGREED, answer.subscriber, answer.instance, *about, list(but))


async def agreed_buckets(conn: Conn, answer: StoreAnswer, buckets: Sequence[int]) -> None:
    await conn.execute(_AGREED_BUCKETS, answer.subscriber, answer.instance, list(buckets))


async def gone(conn: Conn) -> None:
    """Differences of instances that have not spoken for a day: nobody asks them any more."""
    await conn.execute(_GONE)


async def standing(conn: "Conn | Pool", subscribers: Sequence[str]) -> dict[str, int]:
    return {row["subscriber"]: row["count"] for row in await conn.fetch(_STANDING, subscribers)}


async def listed(conn: "Conn | Pool", subscribers: Sequence[str], limit: int) -> list[asyncpg.Record]:
    """Open differences, the oldest first."""
    return await conn.fetch(_LISTED, subscribers, limit)


async def last(conn: "Conn | Pool", subscribers: Sequence[str]) -> list[asyncpg.Record]:
    """By subscriber, when it was asked last; and what each of its instances last answered to a question for all."""
    return await conn.fetch(_LAST, subscribers)


async def unanswered(
    conn: "Conn | Pool", asks: Sequence[UUID], instances: Sequence[tuple[str, UUID]]
) -> list[tuple[str, UUID]]:
    """Of these instances, by subscriber, those that have not answered the question to their subscriber among these, or
    whose answers were not judged.
    """
    return [tuple(row) for row in await conn.fetch(_UNANSWERED, asks, *_apart(instances))]


async def standing_at(conn: "Conn | Pool", instances: Sequence[tuple[str, UUID]]) -> int:
    """How many differences are open at these instances, by subscriber."""
    return int(await conn.fetchval(_STANDING_AT, *_apart(instances)))


def _apart(instances: Sequence[tuple[str, UUID]]) -> tuple[list[str], list[UUID]]:
    return [subscriber for subscriber, _ in instances], [instance for _, instance in instances]


async def forget(conn: "Conn | Pool", days: int) -> None:
    """What was asked so long ago, and differences that were closed then."""
    await conn.execute(_FORGET, days)
    await conn.execute("DELETE FROM differences WHERE closed_at < now() - make_interval(days => $1)", days)


def _columns(positions: Sequence[Position]) -> tuple[list[UUID], list[int], list[int]]:
    return [p.topic_id for p in positions], [p.partition for p in positions], [p.offset for p in positions]


_ASK = "INSERT INTO reconciliations (ask, subscriber, buckets) VALUES ($1, $2, $3)"

# Each subscriber has a phase of its own, from its name, so that they are not asked all at once.
_DUE = """
SELECT s.subscriber FROM unnest($1::text[]) AS s (subscriber)
LEFT JOIN LATERAL (
    SELECT max(asked_at) AS at FROM reconciliations r WHERE r.subscriber = s.subscriber
) AS l ON true
CROSS JOIN LATERAL (SELECT (hashtext(s.subscriber)::bigint & 65535) / 65536.0 * $2::float8 AS seconds) AS phase
WHERE floor((extract(epoch FROM clock_timestamp())::float8 - phase.seconds) / $2)
        > floor((coalesce(extract(epoch FROM l.at)::float8, 0) - phase.seconds) / $2)
    OR (l.at < clock_timestamp() - make_interval(secs => $3) AND EXISTS (
        SELECT FROM differences d WHERE d.subscriber = s.subscriber AND d.closed_at IS NULL))"""

_KEEP = """
INSERT INTO reconciliation_answers (ask, subscriber, instance, kind, part, appended_at, message)
SELECT r.ask, r.subscriber, $3, $4, $5, $6, $7 FROM reconciliations r
JOIN instances i ON i.subscriber = r.subscriber AND i.instance = $3
WHERE r.ask = $1 AND r.subscriber = $2 AND r.asked_at > clock_timestamp() - interval '1 day'
    AND CASE WHEN $8::integer IS NULL THEN r.buckets = '{}' ELSE $8 = ANY (r.buckets) END
    AND i.since <= r.asked_at AND i.seen_at >= r.asked_at - $9::interval
ON CONFLICT DO NOTHING"""

_GIVEN = """
SELECT count(*) FROM (
    SELECT FROM reconciliation_answers
    WHERE subscriber = ANY ($1::text[]) AND appended_at > $2::timestamptz - interval '1 hour' AND appended_at <= $2
    LIMIT $3
) AS given"""

_WHOSE_TURN = """
SELECT w.subscriber FROM (SELECT DISTINCT subscriber FROM reconciliation_answers WHERE message IS NOT NULL) AS w
ORDER BY (SELECT max(judged_at) FROM reconciliation_answers a WHERE a.subscriber = w.subscriber) NULLS FIRST,
    w.subscriber"""

_WAITING = """
SELECT id, ask, subscriber, instance, kind, message FROM reconciliation_answers
WHERE message IS NOT NULL AND subscriber = $1 ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"""

_JUDGED = """
UPDATE reconciliation_answers
SET message = NULL, judged_at = clock_timestamp(), compared = $2, left_out = $3, differing = $4 WHERE id = $1"""

# A record is on its way while it has a mark, or was put into the log at or above the store's position. One statement:
# the relay turns marks into publications in one transaction.
_MOVING = """
WITH moving AS MATERIALIZED (
    SELECT key FROM marks WHERE family = $1
    UNION
    SELECT p.key FROM unnest($3::uuid[], $4::integer[], $5::bigint[]) AS s (topic_id, partition, upto)
    JOIN publications p ON p.topic_id = s.topic_id AND p.partition = s.partition AND p."offset" >= s.upto
    WHERE p.family = $1
), held AS (
    SELECT key, epoch || '.' || n AS version, substr(sha256(convert_to(
        left(key, 24) || ' ' || epoch || '.' || n || ' '
        || CASE WHEN $2 THEN '{"version":"' || epoch || '.' || n || '",' || substr(body::text, 2) ELSE '' END,
        'UTF8')), 1, 8) AS hash
    FROM records WHERE family = $1
)"""

_SUMS = (
    _MOVING  # noqa: S608 - both parts stand here
    + """
SELECT bucket, sum(value) AS total, count(*) AS count, bool_or(moving) AS moving FROM (
    SELECT ('x' || left(h.key, 3))::bit(12)::integer >> 2 AS bucket, m.key IS NOT NULL AS moving,
        ('x' || encode(h.hash, 'hex'))::bit(64)::bigint AS value
    FROM held h LEFT JOIN moving m USING (key)
) AS each GROUP BY bucket"""
)

_RANGE = (
    _MOVING
    + """
SELECT h.key, h.version, h.hash, m.key IS NOT NULL AS moving FROM held h LEFT JOIN moving m USING (key)
WHERE h.key >= $6 AND left(h.key, 24) > $7 AND h.key < $8
ORDER BY h.key"""
)

_PERMITTING = """
SELECT key FROM records
WHERE family = $1 AND key = ANY ($2::text[]) AND status = 'live' AND json_array_length(body -> 'points') > 0
    AND NOT EXISTS (
        SELECT FROM json_array_elements(body -> 'points') AS p
        WHERE coalesce(json_array_length(p -> 'allow'), 0) = 0)"""

_NOTE = """
INSERT INTO differences AS d (subscriber, instance, key, kind, theirs, ours, repaired_at)
SELECT $1, $2, key, kind, theirs, ours, CASE WHEN repairable THEN clock_timestamp() END
FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[])
    AS n (key, kind, theirs, ours, repairable)
ON CONFLICT (subscriber, instance, left(key, 24)) WHERE closed_at IS NULL DO UPDATE SET
    kind = excluded.kind, theirs = excluded.theirs, ours = excluded.ours,
    repaired_at = coalesce(excluded.repaired_at, d.repaired_at)"""

_AGREED = """
UPDATE differences SET closed_at = clock_timestamp(), why_closed = 'agrees'
WHERE subscriber = $1 AND instance = $2 AND closed_at IS NULL AND key COLLATE "C" >= $3
    AND left(key, 24) COLLATE "C" > $4 AND key COLLATE "C" < $5 AND left(key, 24) <> ALL ($6::text[])"""

_AGREED_BUCKETS = """
UPDATE differences SET closed_at = clock_timestamp(), why_closed = 'agrees'
WHERE subscriber = $1 AND instance = $2 AND closed_at IS NULL
    AND ('x' || left(key, 3))::bit(12)::integer >> 2 = ANY ($3::integer[])"""

_GONE = """
UPDATE differences d SET closed_at = clock_timestamp(), why_closed = 'gone'
WHERE closed_at IS NULL AND NOT EXISTS (
    SELECT FROM instances i WHERE i.subscriber = d.subscriber AND i.instance = d.instance
        AND i.seen_at > clock_timestamp() - interval '1 day')"""

_STANDING = """
SELECT s.subscriber, count(d.id)::integer AS count FROM unnest($1::text[]) AS s (subscriber)
LEFT JOIN differences d ON d.subscriber = s.subscriber AND d.closed_at IS NULL GROUP BY s.subscriber"""

_LISTED = """
SELECT subscriber, instance, key, kind, theirs, ours, found_at, repaired_at FROM differences
WHERE closed_at IS NULL AND subscriber = ANY ($1::text[]) ORDER BY id LIMIT $2"""

_LAST = """
SELECT s.subscriber, (SELECT max(asked_at) FROM reconciliations r WHERE r.subscriber = s.subscriber) AS asked_at,
    a.instance, a.appended_at AS answered_at, a.compared, a.left_out, a.differing
FROM unnest($1::text[]) AS s (subscriber)
LEFT JOIN LATERAL (
    SELECT DISTINCT ON (instance) * FROM reconciliation_answers x
    WHERE x.subscriber = s.subscriber AND x.kind = 'digest' AND x.message IS NULL
        AND x.appended_at > clock_timestamp() - interval '7 days'
    ORDER BY instance, id DESC
) AS a ON true ORDER BY s.subscriber, a.instance"""

_UNANSWERED = """
SELECT i.subscriber, i.instance FROM unnest($2::text[], $3::uuid[]) AS i (subscriber, instance)
WHERE NOT EXISTS (
    SELECT FROM reconciliations r JOIN reconciliation_answers a USING (ask)
    WHERE r.ask = ANY ($1::uuid[]) AND r.subscriber = i.subscriber AND a.instance = i.instance AND a.message IS NULL)
ORDER BY i.subscriber, i.instance"""

_STANDING_AT = """
SELECT count(*) FROM differences d JOIN unnest($1::text[], $2::uuid[]) AS i (subscriber, instance)
    USING (subscriber, instance)
WHERE d.closed_at IS NULL"""

_FORGET = """
WITH old AS (DELETE FROM reconciliations WHERE asked_at < now() - make_interval(days => $1) RETURNING ask)
DELETE FROM reconciliation_answers a USING old o WHERE a.ask = o.ask"""


_ERASED_LATELY = """
SELECT count(*) FROM differences
WHERE subscriber = $1 AND ours IS NULL AND repaired_at > clock_timestamp() - interval '1 hour'"""


async def erased_lately(conn: Conn, subscriber: str) -> int:
    """Keys that nobody here knows and that were published as erased for the subscriber's sake in the last hour."""
    return int(await conn.fetchval(_ERASED_LATELY, subscriber))
