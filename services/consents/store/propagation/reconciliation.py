"""Reconciliation in the database: what subscribers were asked, and what their instances answered."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.events.messages import StoreDigest, StoreListing
from kielto.service.database.pool import Conn, Pool

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

_FORGET = """
WITH old AS (DELETE FROM reconciliations WHERE asked_at < now() - make_interval(days => $1) RETURNING ask)
DELETE FROM reconciliation_answers a USING old o WHERE a.ask = o.ask"""


class StoreAnswer(NamedTuple):
    id: int
    ask: UUID
    subscriber: str
    instance: UUID
    kind: str
    message: str


class LastAnswer(BaseModel):
    """The last answer of an instance to a question for all buckets."""

    subscriber: str
    asked_at: datetime | None = Field(description="When the subscriber was last asked.")
    instance: UUID | None = Field(
        description="Null: no store of the subscriber has answered in the last week."
    )
    answered_at: datetime | None
    compared: int | None = Field(description="Buckets that were compared, of 1024.")
    left_out: int | None = Field(description="Buckets left out because a record in them was on its way.")
    differing: int | None


async def ask(conn: Conn, ident: UUID, subscriber: str, buckets: Sequence[int]) -> None:
    await conn.execute(_ASK, ident, subscriber, list(buckets))


async def due(conn: Conn, subscribers: Sequence[str], seconds: float, follow_up_seconds: float) -> list[str]:
    """Subscribers not asked for so long, each at a time of its own, or not for a while with differences open."""
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
    """Store an answer to a question that was asked, by an instance that was alive then. Others are ignored, and so is a
    second answer.

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
    """The oldest answer not compared yet, locked; of the subscriber whose last comparison is longest ago."""
    for row in await conn.fetch(_WHOSE_TURN):
        if (found := await conn.fetchrow(_WAITING, row["subscriber"])) is not None:
            return StoreAnswer(*found)
    return None


async def record_findings(conn: Conn, answer: StoreAnswer, found: tuple[int, int, int]) -> None:
    """`found`: how many buckets (of a listing: records) were compared, left out, and differ."""
    await conn.execute(_JUDGED, answer.id, *found)


async def last(conn: "Conn | Pool", subscribers: Sequence[str]) -> list[LastAnswer]:
    """When each subscriber was asked last, and what each of its instances answered last."""
    return [LastAnswer(**row) for row in await conn.fetch(_LAST, subscribers)]


async def unanswered(
    conn: "Conn | Pool", asks: Sequence[UUID], instances: Sequence[tuple[str, UUID]]
) -> list[tuple[str, UUID]]:
    """The instances whose answer to their subscriber's question among `asks` is missing or not compared yet."""
    return [tuple(row) for row in await conn.fetch(_UNANSWERED, asks, *split(instances))]


async def forget(conn: "Conn | Pool", days: int) -> None:
    """Delete questions that were asked so many days ago, with their answers."""
    await conn.execute(_FORGET, days)


def split(instances: Sequence[tuple[str, UUID]]) -> tuple[list[str], list[UUID]]:
    return [subscriber for subscriber, _ in instances], [instance for _, instance in instances]
