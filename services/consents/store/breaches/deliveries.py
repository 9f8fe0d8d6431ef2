"""Reported deliveries, and the breaches: those that were sent after a ban."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from kielto.events.words import Channel, Purpose
from kielto.service.database.pool import Conn, Pool
from services.consents.store.permissions.closure import HIT


class Delivery(NamedTuple):
    """`sent_at`: the sender's claim, but no later than the report was there. `subject`: a party's id of a customer
    (`id_ref`) whom nobody has named yet. `point`: the party's hash of the one that was used.
    """

    id: UUID
    customer: UUID | None
    subject: str | None
    company: str
    partner: str | None
    campaign: UUID | None
    channel: Channel
    purpose: Purpose | None
    claimed_at: datetime
    reported_at: datetime
    point: str | None = None

    @property
    def sent_at(self) -> datetime:
        return min(self.claimed_at, self.reported_at)


class BreachEvidence(NamedTuple):
    bound_seconds: float
    decisions: Sequence[UUID]
    subscribers: Sequence[dict[str, Any]]
    clearance: UUID | None
    point: UUID | None
    """The id of the contact point."""


async def keep(conn: Conn, deliveries: Sequence[Delivery]) -> None:
    """One that came before is passed over."""
    if deliveries:
        await conn.execute(_KEEP, *map(list, zip(*deliveries, strict=True)))


async def hear(conn: "Conn | Pool") -> None:
    """What was found of those whom decisions bind that came in since is to be looked at anew."""
    await conn.execute(_HEAR)


async def name(conn: "Conn | Pool") -> None:
    """Those whom a party means are known by now."""
    await conn.execute(_NAME)


async def to_judge(conn: "Conn | Pool", limit: int) -> list[tuple[Delivery, int]]:
    """To customers, with the round that they are in."""
    rows = await conn.fetch(_TO_JUDGE, limit)
    return [(_delivery(row), row["round"]) for row in rows]


async def judged(conn: Conn, delivery: Delivery, round_: int, found: str) -> bool:
    """False: a decision came meanwhile, so it is to be judged again."""
    return await conn.fetchval(_JUDGED, delivery.id, round_, found) is not None


async def later(conn: "Conn | Pool", delivery: Delivery, seconds: float) -> None:
    await conn.execute(_LATER, delivery.id, seconds)


async def open_breach(conn: Conn, delivery: Delivery, evidence: BreachEvidence) -> None:
    """Or bring what is known of it up to date: a breach never goes by itself."""
    subscribers = orjson.dumps(evidence.subscribers).decode()
    what = (delivery.company, delivery.partner, delivery.campaign, delivery.channel, delivery.purpose)
    when = (delivery.claimed_at, delivery.reported_at, evidence.bound_seconds)
    about = (list(evidence.decisions), subscribers, evidence.clearance, evidence.point)
    await conn.execute(_OPEN, delivery.id, delivery.customer, *what, *when, *about)


async def breaches(
    conn: "Conn | Pool",
    company: str | None,
    state: str | None,
    after: tuple[datetime, UUID],
    limit: int,
    ident: UUID | None = None,
) -> list[asyncpg.Record]:
    """The oldest first, from after the one that was opened then; of one company, or of all."""
    return await conn.fetch(_BREACHES, company, state, limit, ident, *after)


async def settle(
    conn: "Conn | Pool", ident: UUID, company: str | None, state: str, note: str, by: str
) -> bool:
    return await conn.fetchval(_SETTLE, ident, company, state, note, by) is not None


async def open_breaches(conn: "Conn | Pool") -> int:
    return int(await conn.fetchval("SELECT count(*) FROM breaches WHERE state = 'open'"))


async def forget(conn: "Conn | Pool", age: timedelta) -> None:
    await conn.execute("DELETE FROM deliveries WHERE kept_at < clock_timestamp() - $1::interval", age)


def _delivery(row: asyncpg.Record) -> Delivery:
    given = {name: row[name] for name in Delivery._fields}
    purpose = Purpose(row["purpose"]) if row["purpose"] else None
    return Delivery(**(given | {"channel": Channel(row["channel"]), "purpose": purpose}))


_KEEP = """
INSERT INTO deliveries (id, customer, subject, company, partner, campaign, channel, purpose, claimed_at,
    reported_at, point)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[],
    $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[])
ON CONFLICT DO NOTHING"""

# By whatever id of a person it is that the decision, or the delivery, names them. Reported since the oldest of the
# decisions: some are looked at in vain.
_HEAR = f"""
WITH RECURSIVE new AS (
    DELETE FROM heard RETURNING ref, received_at
), seed (id) AS (
    SELECT r.customer FROM new JOIN customer_refs r USING (ref)
    UNION
    SELECT substr(ref, 3)::uuid FROM new WHERE starts_with(ref, 'c:')
    UNION
    SELECT r.customer FROM new JOIN restored r ON new.ref = 'r:' || r.decision
), {HIT}
UPDATE deliveries d SET found = NULL, round = d.round + 1, look_at = clock_timestamp()
WHERE d.customer = ANY (array(SELECT id FROM hit)) AND d.reported_at >= (SELECT min(received_at) FROM new)"""  # noqa: S608

_NAME = """
UPDATE deliveries d SET customer = r.customer FROM customer_refs r
WHERE d.customer IS NULL AND r.ref = d.subject"""

_TO_JUDGE = """
SELECT * FROM deliveries WHERE found IS NULL AND customer IS NOT NULL AND look_at <= clock_timestamp()
ORDER BY look_at LIMIT $1"""

_JUDGED = "UPDATE deliveries SET found = $3 WHERE id = $1 AND round = $2 AND found IS NULL RETURNING 1"

_LATER = "UPDATE deliveries SET look_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1"

_OPEN = """
INSERT INTO breaches (id, customer, company, partner, campaign, channel, purpose, claimed_at, reported_at,
    bound_seconds, decisions, subscribers, clearance, point)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::text::jsonb, $13, $14)
ON CONFLICT (id) DO UPDATE SET decisions = excluded.decisions, subscribers = excluded.subscribers"""

_BREACHES = """
SELECT * FROM breaches
WHERE ($1::text IS NULL OR company = $1) AND ($2::text IS NULL OR state = $2) AND ($4::uuid IS NULL OR id = $4)
    AND (opened_at, id) > ($5, $6)
ORDER BY opened_at, id LIMIT $3"""

_SETTLE = """
UPDATE breaches SET state = $3, note = $4, changed_by = $5, changed_at = clock_timestamp()
WHERE id = $1 AND ($2::text IS NULL OR company = $2) RETURNING 1"""
