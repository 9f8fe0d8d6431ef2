"""Decisions about more customers than one transaction computes: who is still owed new records.

A customer is owed them until a portion included them (`consequences_done`, committed with what it computed). So a
portion that was cut off or done twice leaves nobody out.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kielto.events.topics import CONSENTS
from kielto.service.database.pool import Conn, Pool
from services.consents.store.permissions.closure import HIT, has_address


class OwedDecision(NamedTuple):
    decision: UUID
    ref: str
    customer: UUID | None
    """The one of a `c:` ref."""
    since: datetime | None = None
    """From when on the records are owed; None: from the decision's receipt on."""


class PortionBacklog(NamedTuple):
    decisions: int
    oldest_seconds: float


# Needs a CTE `begun (decision, ref, customer)`. By decision, who is known of those whom it concerns now, and whom no
# portion was for yet.
_OWED = f"""
owed (decision, id) AS MATERIALIZED (
    SELECT b.decision, h.id FROM begun b CROSS JOIN LATERAL (
        WITH RECURSIVE seed (id) AS (
            SELECT b.customer WHERE b.customer IS NOT NULL
            UNION
            SELECT customer FROM customer_refs WHERE ref = b.ref
            UNION
            SELECT r.customer FROM suppressions s JOIN customer_refs r USING (ref) WHERE s.decision = b.decision
            UNION
            SELECT substr(s.ref, 3)::uuid FROM suppressions s WHERE s.decision = b.decision AND starts_with(s.ref, 'c:')
            UNION
            SELECT t.customer FROM restored t WHERE t.decision = b.decision
        ), {HIT}
        SELECT id FROM hit
    ) h
    WHERE EXISTS (SELECT FROM customers k WHERE k.id = h.id) AND NOT EXISTS (
        SELECT FROM consequences_done d WHERE d.decision = b.decision AND d.customer = h.id)
)"""  # noqa: S608 - constants of ours

OWED_FAMILIES = f"""
begun AS MATERIALIZED (SELECT decision, ref, customer, speaks FROM consequences), {_OWED},
owed_families (decision, family) AS (
    SELECT DISTINCT o.decision, f.family
    FROM owed o CROSS JOIN LATERAL (
        SELECT '{CONSENTS.name}' AS family
        UNION ALL
        SELECT split_part(r.ref, ':', 2) COLLATE "default" FROM customer_refs r
        WHERE r.customer = o.id AND r.ref LIKE 'i:%' OFFSET 0
    ) f JOIN begun b ON b.decision = o.decision AND f.family = ANY (b.speaks)
)"""  # noqa: S608 - constants of ours
"""CTEs: which families have records that do not show a decision yet which speaks of them."""

OWED_BY = f"""
begun AS MATERIALIZED (SELECT decision, ref, customer FROM consequences WHERE $3 = ANY (speaks)), {_OWED}"""  # noqa: S608
"""CTEs, `owed (decision, id)`: of decisions that speak of the family $3."""

_ADD = """
INSERT INTO consequences (decision, ref, customer, speaks) VALUES ($1, $2, $3, $4)"""

_AGAIN = """
INSERT INTO consequences (decision, ref, customer, speaks, since) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (decision) DO UPDATE SET speaks = excluded.speaks, since = excluded.since"""

_UNDONE = "DELETE FROM consequences_done WHERE decision = $1"

# As a company sees it: of an address only those of whom the company has it.
_RECORDS = f"""
WITH named (id) AS (
    SELECT customer FROM customer_refs WHERE ref = $1
    UNION
    SELECT $2::uuid WHERE $2 IS NOT NULL
)
SELECT split_part(i.ref, ':', 2) AS family, count(*) AS records
FROM named n JOIN customers c ON c.id = n.id JOIN customer_refs i ON i.customer = n.id AND i.ref LIKE 'i:%'
WHERE NOT starts_with($1, 'p:') OR {has_address("c", "$1", "split_part(split_part(i.ref, ':', 2), '.', 2)")}
GROUP BY 1"""  # noqa: S608 - constants of ours

_FAMILIES = f"WITH {OWED_FAMILIES} SELECT DISTINCT family FROM owed_families"  # noqa: S608 - ours

# What keeps nobody waiting comes last.
_NEXT = """
SELECT decision, ref, customer, since FROM consequences
ORDER BY speaks = '{}', begun_at LIMIT 1 FOR UPDATE SKIP LOCKED"""

_PORTION = f"""
WITH begun (decision, ref, customer) AS (
    SELECT $1::uuid, $2::text, $3::uuid
), {_OWED}
SELECT id FROM owed ORDER BY id LIMIT $4"""  # noqa: S608 - constants of ours

_DID = """
INSERT INTO consequences_done (decision, customer) SELECT $1, unnest($2::uuid[]) ON CONFLICT DO NOTHING"""

_END = """
WITH gone AS (DELETE FROM consequences_done WHERE decision = $1)
DELETE FROM consequences WHERE decision = $1"""

_WAITING = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(begun_at)), 0)::float8 FROM consequences"""


async def add(conn: Conn, begun: OwedDecision, speaks: Sequence[str]) -> None:
    """`speaks`: the families in which the decision takes something away; none for a *yes*, which holds up no beats."""
    await conn.execute(_ADD, begun.decision, begun.ref, begun.customer, speaks)


async def owe_again(conn: Conn, begun: OwedDecision, speaks: Sequence[str]) -> None:
    """The decision's effect changed: everybody whom it concerns is owed new records again, whatever portions there
    were. Another statement deletes what these did: it sees the one for which the first waited.
    """
    await conn.execute(_AGAIN, begun.decision, begun.ref, begun.customer, speaks, begun.since)
    await conn.execute(_UNDONE, begun.decision)


async def records(conn: Conn, begun: OwedDecision) -> Mapping[str, int]:
    """The number of records of those whom the decision names, by party."""
    rows = await conn.fetch(_RECORDS, begun.ref, begun.customer)
    return {row["family"]: row["records"] for row in rows}


async def families(conn: Conn) -> frozenset[str]:
    """Families with records that a decision takes something away from and which do not show it yet."""
    return frozenset(row["family"] for row in await conn.fetch(_FAMILIES))


async def next_owed(conn: Conn) -> OwedDecision | None:
    """The oldest decision that no other process works on, locked until the transaction ends."""
    row = await conn.fetchrow(_NEXT)
    return OwedDecision(*row) if row else None


async def portion(conn: Conn, begun: OwedDecision, limit: int) -> list[UUID]:
    """Customers who are owed new records; none when all is done."""
    return [row["id"] for row in await conn.fetch(_PORTION, begun.decision, begun.ref, begun.customer, limit)]


async def mark_done(conn: Conn, decision: UUID, customers: Collection[UUID]) -> None:
    """Note that the records of these customers are computed."""
    await conn.execute(_DID, decision, customers)


async def end(conn: Conn, decision: UUID) -> None:
    """End the work on the decision: nobody is owed records because of it."""
    await conn.execute(_END, decision)


async def backlog(conn: "Conn | Pool") -> PortionBacklog:
    row = await conn.fetchrow(_WAITING)
    assert row is not None  # the statement selects one row
    return PortionBacklog(*row)
