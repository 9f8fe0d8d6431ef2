"""Differences between stores and our records that reconciliation found, until the store agrees."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.service.database.pool import Conn, Pool, columns
from services.consents.model.reconcile import Difference, Range
from services.consents.store.propagation.reconciliation import StoreAnswer, split

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

_STANDING_AT = """
SELECT count(*) FROM differences d JOIN unnest($1::text[], $2::uuid[]) AS i (subscriber, instance)
    USING (subscriber, instance)
WHERE d.closed_at IS NULL"""

_ERASED_LATELY = """
SELECT count(*) FROM differences
WHERE subscriber = $1 AND ours IS NULL AND repaired_at > clock_timestamp() - interval '1 hour'"""

_FORGET_CLOSED = "DELETE FROM differences WHERE closed_at < now() - make_interval(days => $1)"


class OpenDifference(BaseModel):
    """A difference that stands."""

    subscriber: str
    instance: UUID
    key: str = Field(description="The party's id of the customer, or its first 24 digits.")
    kind: str = Field(description="missing, extra, older, newer, unreadable or content.")
    theirs: str | None = Field(description="The store's version; null: it lacks the record.")
    ours: str | None = Field(description="Our version; null: we have no such record.")
    found_at: datetime
    repaired_at: datetime | None = Field(
        description="When it was published again; null: publishing cannot repair it."
    )


async def note(
    conn: Conn, answer: StoreAnswer, found: Sequence[Difference], repairable: Sequence[bool]
) -> None:
    """Open a difference for each, or update the open one."""
    await conn.execute(
        _NOTE,
        answer.subscriber,
        answer.instance,
        *columns(found, "key", "kind", "theirs", "ours"),
        list(repairable),
    )


async def agreed(conn: Conn, answer: StoreAnswer, about: Range, but: Sequence[str]) -> None:
    """Close differences in this range of keys, except at keys that begin like those of `but`: the store agrees."""
    await conn.execute(_AGREED, answer.subscriber, answer.instance, *about, list(but))


async def agreed_buckets(conn: Conn, answer: StoreAnswer, buckets: Sequence[int]) -> None:
    await conn.execute(_AGREED_BUCKETS, answer.subscriber, answer.instance, list(buckets))


async def gone(conn: Conn) -> None:
    """Close differences of instances that have not acknowledged for a day."""
    await conn.execute(_GONE)


async def standing(conn: "Conn | Pool", subscribers: Sequence[str]) -> dict[str, int]:
    return {row["subscriber"]: row["count"] for row in await conn.fetch(_STANDING, subscribers)}


async def listed(conn: "Conn | Pool", subscribers: Sequence[str], limit: int) -> list[OpenDifference]:
    """Open differences, the oldest first."""
    return [OpenDifference(**row) for row in await conn.fetch(_LISTED, subscribers, limit)]


async def standing_at(conn: "Conn | Pool", instances: Sequence[tuple[str, UUID]]) -> int:
    """The number of open differences at these instances."""
    return int(await conn.fetchval(_STANDING_AT, *split(instances)))


async def erased_lately(conn: Conn, subscriber: str) -> int:
    """The number of unknown keys that were published as erased because of the subscriber in the last hour."""
    return int(await conn.fetchval(_ERASED_LATELY, subscriber))


async def forget(conn: "Conn | Pool", days: int) -> None:
    """Delete differences that were closed so many days ago."""
    await conn.execute(_FORGET_CLOSED, days)
