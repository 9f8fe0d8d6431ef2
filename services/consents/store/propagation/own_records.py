"""Our own records as reconciliation compares them with those of a store."""

from collections.abc import Sequence
from typing import NamedTuple

from kielto.events.messages import Position
from kielto.service.database.pool import Conn, columns
from services.consents.model.reconcile import SHORT, HeldRecord, Range

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

_KNOWN = "SELECT key FROM records WHERE family = $1 AND key = ANY ($2::text[])"

_PERMITTING = """
SELECT key FROM records
WHERE family = $1 AND key = ANY ($2::text[]) AND status = 'live' AND json_array_length(body -> 'points') > 0
    AND NOT EXISTS (
        SELECT FROM json_array_elements(body -> 'points') AS p
        WHERE coalesce(json_array_length(p -> 'allow'), 0) = 0)"""


class Ours(NamedTuple):
    digests: dict[int, int]
    counts: dict[int, int]
    moving: set[int]


async def ours(conn: Conn, family: str, content: bool, positions: Sequence[Position]) -> Ours:
    """Digests of our records by bucket, and which buckets hold one that is on its way beyond the positions."""
    rows = await conn.fetch(_SUMS, family, content, *columns(positions, "topic_id", "partition", "offset"))
    return Ours(
        {row["bucket"]: int(row["total"]) for row in rows},
        {row["bucket"]: row["count"] for row in rows},
        {row["bucket"] for row in rows if row["moving"]},
    )


async def range_of_ours(
    conn: Conn, family: str, content: bool, positions: Sequence[Position], about: Range
) -> tuple[list[HeldRecord], set[str]]:
    """Our records in the range, and the first digits of those that are on their way."""
    rows = await conn.fetch(
        _RANGE, family, content, *columns(positions, "topic_id", "partition", "offset"), *about
    )
    held = [HeldRecord(row["key"], row["version"], row["hash"].hex()) for row in rows]
    return held, {row["key"][:SHORT] for row in rows if row["moving"]}


async def known(conn: Conn, family: str, keys: Sequence[str]) -> list[str]:
    """The keys that have a record now, whatever it says."""
    return [row["key"] for row in await conn.fetch(_KNOWN, family, keys)]


async def permitting(conn: Conn, family: str, keys: Sequence[str]) -> set[str]:
    """The keys whose record forbids nothing: it is live, has points, and allows something at each."""
    return {row["key"] for row in await conn.fetch(_PERMITTING, family, keys)}
