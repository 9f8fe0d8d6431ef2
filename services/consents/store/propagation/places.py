"""Where the records that show a decision stand in the log of messages."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kielto.service.database.pool import Conn


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
