"""A no outlives the erasure of whoever said it, and nothing else does (docs/decisions/0033-suppression.md)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from kielto.events.versions import Version
from kielto.service.database.pool import Conn

_NEWER = """
SELECT n.id FROM unnest($1::uuid[], $2::integer[], $3::bigint[]) AS n (id, epoch, n)
JOIN customers c USING (id) WHERE (c.epoch, c.n) < (n.epoch, n.n)"""

# Ids of a party name the erased customer for ever and nobody else, so they are not needed. Whom the person's own no
# bound stays bound. Whoever had one of the addresses an hour before the erasure is known to be somebody else: but not
# who may be the same person, nor who is bound by the decision already.
_ADD = """
WITH own AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS o (customer, decision)
), known_by AS (
    SELECT r.ref, o.decision FROM own o JOIN customer_refs r USING (customer) WHERE r.ref NOT LIKE 'i:%'
    UNION
    SELECT 'c:' || customer, decision FROM own
    UNION
    SELECT 'c:' || b.customer, o.decision
    FROM own o JOIN relations b ON b.other = o.customer AND b.relation = 'bound_by'
), apart AS (
    INSERT INTO known_apart (decision, customer)
    SELECT DISTINCT k.decision, r.customer
    FROM known_by k JOIN customer_refs r USING (ref) JOIN customers c ON c.id = r.customer
    WHERE r.customer <> ALL ($3::uuid[]) AND c.since < $4::timestamptz - interval '1 hour'
        AND NOT EXISTS (
            SELECT FROM relations b
            WHERE b.customer = r.customer AND b.relation = 'bound_by' AND b.other = ANY ($3::uuid[]))
        AND NOT EXISTS (
            SELECT FROM suppressions s WHERE s.decision = k.decision AND (s.ref = 'c:' || r.customer OR s.ref IN (
                SELECT q.ref FROM customer_refs q WHERE q.customer = r.customer)))
    ON CONFLICT DO NOTHING
)
INSERT INTO suppressions (ref, decision) SELECT ref, decision FROM known_by ORDER BY ref, decision
ON CONFLICT DO NOTHING"""

# What names somebody else, too, is theirs as well.
_FORGET = """
WITH gone AS (
    SELECT 'c:' || id AS ref FROM unnest($1::uuid[]) AS e (id)
    UNION
    SELECT r.ref FROM customer_refs r WHERE r.customer = ANY ($1) AND NOT EXISTS (
        SELECT FROM customer_refs o WHERE o.ref = r.ref AND o.customer <> ALL ($1))
), said AS (
    SELECT id, act, subject_kind, lifts FROM decisions WHERE ref = ANY (array(SELECT ref FROM gone))
), unreadable AS (
    DELETE FROM evidence WHERE decision IN (SELECT id FROM said)
)
INSERT INTO lapsed (decision) SELECT id FROM said
WHERE subject_kind = 'number' AND (act = 'consent' OR (act = 'lifting' AND lifts && $2::uuid[]))
ON CONFLICT DO NOTHING"""


async def newer(conn: Conn, rows: Sequence[tuple[UUID, Version]]) -> list[UUID]:
    """The customers among these erasures who are stored at a lower version."""
    versions = [version for _, version in rows]
    ids = [customer for customer, _ in rows]
    found = await conn.fetch(_NEWER, ids, [v.epoch for v in versions], [v.n for v in versions])
    return [row["id"] for row in found]


async def add(
    conn: Conn, own: Collection[tuple[UUID, UUID]], persons: Collection[UUID], at: datetime
) -> None:
    """`own`: (customer, decision) of those who are about to be erased; `persons`: every id of theirs. `at`: when the
    erasure was told, or earlier."""
    if own:
        await conn.execute(_ADD, [c for c, _ in own], [d for _, d in own], list(persons), at)


async def forget(conn: Conn, customers: Collection[UUID], kept: Collection[UUID]) -> None:
    """Delete the evidence of what they said, with its keys; end their consents by number, and their liftings of what is
    `kept`: whoever has the number next has said no such yes.
    """
    await conn.execute(_FORGET, list(customers), list(kept))
