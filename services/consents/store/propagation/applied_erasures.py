"""Which erasures every live store of a party's subscribers has applied."""

from collections.abc import Collection, Sequence

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn
from kielto.service.outbox.tombstones import ErasedRecord

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
    conn: Conn, erased: Sequence[ErasedRecord], subscribers: Collection[SubscriberSystem]
) -> set[tuple[str, str]]:
    """(family, key) of the erasures that are applied everywhere; instances that are gone are waited for until the
    deadline.
    """
    known = [e for e in erased if e.offset is not None]
    rows = await conn.fetch(
        _APPLIED,
        [e.family for e in known],
        [e.key for e in known],
        [e.topic_id for e in known],
        [e.partition for e in known],
        [e.offset for e in known],
        [s.id for s in subscribers],
        [s.party for s in subscribers],
    )
    return {(row["family"], row["key"]) for row in rows}
