"""What officers of the group did with a party's *no*s about others' people: held ones released, or any voided."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.service.database.pool import Conn, Pool
from services.consents.model.decisions import OfficerAction


class ReceiptCursor(NamedTuple):
    """A place in the order of receipt: everything behind it is still to be done."""

    received_at: datetime
    decision: UUID


START = ReceiptCursor(datetime(1, 1, 2, tzinfo=UTC), UUID(int=0))


class HeldDecisions(BaseModel):
    """The held decisions of one party."""

    party: str = Field(examples=["partner.matkat"])
    held: int
    first_at: datetime = Field(description="When the first of them was received.")
    last_at: datetime


# `decisions_in_force` has none that is voided.
_UNMARKED = """
SELECT d.* FROM decisions_in_force d
WHERE d.party = $1 AND d.foreign_subject AND d.received_at >= $2 AND (d.received_at, d.id) > ($3, $4)
    AND (d.holding OR $5 = 'voided')
ORDER BY d.received_at, d.id LIMIT $6"""

# By what else those who said it are known since they were erased. A c: ref names nobody who is not known by now.
_REFS = """
SELECT DISTINCT ref FROM suppressions WHERE decision = ANY ($1::uuid[]) AND NOT starts_with(ref, 'c:')"""

_MARK = """
WITH marked AS (
    INSERT INTO decision_marks (decision, kind, by, why) SELECT unnest($1::uuid[]), $2, $3, $4
    ON CONFLICT DO NOTHING RETURNING decision
)
SELECT d.id, EXISTS (SELECT FROM customer_refs r WHERE r.ref = d.ref)
    OR EXISTS (SELECT FROM suppressions s WHERE s.decision = d.id)
    OR EXISTS (SELECT FROM restored t WHERE t.decision = d.id) AS concerns
FROM marked m JOIN decisions d ON d.id = m.decision"""

_HELD = """
SELECT party, count(*) AS held, min(received_at) AS first_at, max(received_at) AS last_at
FROM decisions_in_force WHERE foreign_subject AND holding GROUP BY party ORDER BY party"""

_FOREIGN = """
SELECT party, count(*) FROM decisions
WHERE party = ANY ($1::text[]) AND foreign_subject AND received_at > now() - interval '1 hour' GROUP BY party"""


async def unmarked(
    conn: Conn, party: str, since: datetime, mark: OfficerAction, after: ReceiptCursor, limit: int
) -> list[Mapping[str, Any]]:
    """Rows of the party's decisions that may be marked so, received at `since` or later, from behind `after`."""
    return [dict(row) for row in await conn.fetch(_UNMARKED, party, since, *after, mark, limit)]


async def refs_of_erased(conn: Conn, decisions: Sequence[UUID]) -> list[str]:
    """The refs by which erased people who said one of these are known again."""
    return [row["ref"] for row in await conn.fetch(_REFS, decisions)]


async def put(
    conn: Conn, decisions: Sequence[UUID], mark: OfficerAction, by: str, why: str
) -> dict[UUID, bool]:
    """Record the action. By decision that had it not: whether it concerns anybody known."""
    rows = await conn.fetch(_MARK, decisions, mark, by, why)
    return {row["id"]: row["concerns"] for row in rows}


async def held(conn: "Conn | Pool") -> list[HeldDecisions]:
    """One row for each party that has any."""
    return [HeldDecisions(**row) for row in await conn.fetch(_HELD)]


async def foreign(conn: "Conn | Pool", parties: Sequence[str]) -> dict[str, int]:
    """By party, the number of *no*s about others' people that it brought in the last hour."""
    found = dict.fromkeys(parties, 0)
    return found | {row["party"]: row["count"] for row in await conn.fetch(_FOREIGN, parties)}
