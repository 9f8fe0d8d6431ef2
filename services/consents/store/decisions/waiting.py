"""Encrypted yeses whose subject is not known yet. Rows change under the lock of their ref; expiry needs none."""

from collections.abc import Collection
from typing import NamedTuple
from uuid import UUID

from kielto.service.database.pool import Conn, Pool


class WaitingYes(NamedTuple):
    decision: UUID
    party: str
    ident: UUID
    partition: int
    offset: int
    timestamp_ms: int
    encrypted: bytes | None


async def add(conn: Conn, one: WaitingYes, ref: str, content: bytes) -> bytes | None:
    """Store a waiting *yes* and return None; return the stored content when one waits under this id already."""
    if await conn.fetchval(_ADD, *one, ref, content):
        return None
    held: bytes = await conn.fetchval("SELECT content FROM waiting WHERE decision = $1", one.decision)
    return held


async def is_full(conn: Conn, party: str, decision: UUID, most: int) -> bool:
    """Whether `most` yeses of the party wait already, none under this id; those of open transactions do not count."""
    return bool(await conn.fetchval(_IS_FULL, party, decision, most - 1))


async def counted(conn: "Conn | Pool", parties: Collection[str]) -> dict[str, int]:
    """The number of waiting yeses, by party."""
    found = dict.fromkeys(parties, 0)
    return found | {row["party"]: row["count"] for row in await conn.fetch(_COUNTED, list(parties))}


async def due(conn: Conn, refs: Collection[str]) -> None:
    """Mark the yeses of these refs: more was learnt about their subjects."""
    await conn.execute("UPDATE waiting SET due = true WHERE ref = ANY ($1::text[])", list(refs))


async def erase(conn: Conn, customers: Collection[UUID]) -> None:
    """Delete what was said about customers who are being erased; call it before their refs change."""
    await conn.execute(_ERASE, list(customers))


async def next_due(conn: Conn, parties: Collection[str]) -> WaitingYes | None:
    """The oldest waiting *yes* that is due. It is not locked: lock its ref first."""
    row = await conn.fetchrow(_NEXT, list(parties))
    return WaitingYes(*row) if row else None


async def not_yet(conn: Conn, decision: UUID) -> None:
    await conn.execute("UPDATE waiting SET due = false WHERE decision = $1", decision)


async def remove(conn: Conn, decision: UUID) -> bool:
    """Remove the waiting *yes*; return False when another transaction has removed it."""
    return await conn.fetchval(_REMOVE, decision) is not None


async def expired(conn: Conn, days: float, limit: int) -> list[WaitingYes]:
    """Remove and return yeses that have waited longer than `days`."""
    return [WaitingYes(*row) for row in await conn.fetch(_EXPIRED, days, limit)]


async def counts_from_now(conn: Conn, decision: UUID) -> None:
    """Let the deadlines of subscribers begin now, when the decision counts, and not when it began to wait."""
    await conn.execute("UPDATE decision_records SET since = clock_timestamp() WHERE decision = $1", decision)


_ADD = """
INSERT INTO waiting (decision, party, ident, partition, "offset", timestamp_ms, encrypted, ref, content)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING true"""

_IS_FULL = """
SELECT EXISTS (SELECT FROM waiting WHERE party = $1 OFFSET $3)
    AND NOT EXISTS (SELECT FROM waiting WHERE decision = $2)"""

_COUNTED = "SELECT party, count(*) FROM waiting WHERE party = ANY ($1::text[]) GROUP BY party"

_ERASE = """
UPDATE waiting SET ref = NULL, encrypted = NULL, due = false
WHERE ref IN (SELECT ref FROM customer_refs WHERE customer = ANY ($1::uuid[]))"""

_NEXT = """
SELECT decision, party, ident, partition, "offset", timestamp_ms, encrypted FROM waiting
WHERE due AND party = ANY ($1::text[]) ORDER BY timestamp_ms, "offset" LIMIT 1"""

_REMOVE = "DELETE FROM waiting WHERE decision = $1 RETURNING decision"

_EXPIRED = """
DELETE FROM waiting WHERE decision IN (
    SELECT decision FROM waiting
    WHERE timestamp_ms < extract(epoch FROM clock_timestamp() - make_interval(secs => $1 * 86400)) * 1000
    ORDER BY timestamp_ms LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING decision, party, ident, partition, "offset", timestamp_ms, encrypted"""
