"""Reported deliveries, and the breaches: those that were sent after a ban."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from kielto.events.words import Channel, Purpose
from kielto.service.database.pool import Conn, Pool
from services.consents.model.breach import Breach, BreachEvidence, Delivery
from services.consents.store.permissions.closure import HIT

_COUNT_OPEN = "SELECT count(*) FROM breaches WHERE state = 'open'"

_FORGET = "DELETE FROM deliveries WHERE kept_at < clock_timestamp() - $1::interval"

_INSERT = """
INSERT INTO deliveries (id, customer, subject, company, partner, campaign, channel, purpose, claimed_at,
    reported_at, point)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::uuid[], $7::text[],
    $8::text[], $9::timestamptz[], $10::timestamptz[], $11::text[])
ON CONFLICT DO NOTHING"""

# By whatever id of a person it is that the decision, or the delivery, names them. Reported since the oldest of the
# decisions: some are looked at in vain.
_REQUEUE = f"""
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

_RESOLVE = """
UPDATE deliveries d SET customer = r.customer FROM customer_refs r
WHERE d.customer IS NULL AND r.ref = d.subject"""

_DUE = """
SELECT * FROM deliveries WHERE found IS NULL AND customer IS NOT NULL AND look_at <= clock_timestamp()
ORDER BY look_at LIMIT $1"""

_RECORD_FINDING = (
    "UPDATE deliveries SET found = $3 WHERE id = $1 AND round = $2 AND found IS NULL RETURNING 1"
)

_RETRY_LATER = "UPDATE deliveries SET look_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1"

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
WHERE id = $1 AND ($2::text IS NULL OR company = $2)"""


async def insert(conn: Conn, deliveries: Sequence[Delivery]) -> None:
    """Insert reported deliveries; one that is stored already is left as it is."""
    if deliveries:
        await conn.execute(_INSERT, *map(list, zip(*deliveries, strict=True)))


async def requeue_affected(conn: "Conn | Pool") -> None:
    """Re-queue deliveries to people affected by decisions received since the last run."""
    await conn.execute(_REQUEUE)


async def resolve_subjects(conn: "Conn | Pool") -> None:
    """Set the customer of deliveries whose recipients have become known since."""
    await conn.execute(_RESOLVE)


async def due(conn: "Conn | Pool", limit: int) -> list[tuple[Delivery, int]]:
    """Deliveries to customers that are to be compared with decisions now, each with its round."""
    rows = await conn.fetch(_DUE, limit)
    return [(_delivery(dict(row)), row["round"]) for row in rows]


async def record_finding(conn: Conn, delivery: Delivery, round_: int, found: str) -> bool:
    """Store the finding; return False when a decision came meanwhile, so that the delivery is compared again."""
    return await conn.fetchval(_RECORD_FINDING, delivery.id, round_, found) is not None


async def retry_later(conn: "Conn | Pool", delivery: Delivery, seconds: float) -> None:
    """Compare the delivery again after so many seconds."""
    await conn.execute(_RETRY_LATER, delivery.id, seconds)


async def open_breach(conn: Conn, delivery: Delivery, evidence: BreachEvidence) -> None:
    """Open the breach, or update the decisions and subscribers of an open one. Only an officer closes it."""
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
) -> list[Breach]:
    """The oldest first, from behind the (opened_at, id) of `after`; of one company, or of all."""
    return [_breach(row) for row in await conn.fetch(_BREACHES, company, state, limit, ident, *after)]


async def settle(
    conn: "Conn | Pool", ident: UUID, company: str | None, state: str, note: str, by: str
) -> None:
    await conn.execute(_SETTLE, ident, company, state, note, by)


async def open_breaches(conn: "Conn | Pool") -> int:
    return int(await conn.fetchval(_COUNT_OPEN))


async def forget(conn: "Conn | Pool", age: timedelta) -> None:
    """Delete reports that are older."""
    await conn.execute(_FORGET, age)


def _breach(row: asyncpg.Record) -> Breach:
    found = {**row, "subject": None, "subscribers": orjson.loads(row["subscribers"])}
    evidence = BreachEvidence(*(found[name] for name in BreachEvidence._fields))
    about = _delivery(found | {"point": None})
    return Breach(about, evidence, *(row[name] for name in ("state", "note", "opened_at", "changed_at")))


def _delivery(row: Mapping[str, Any]) -> Delivery:
    given = {name: row[name] for name in Delivery._fields}
    purpose = Purpose(row["purpose"]) if row["purpose"] else None
    return Delivery(**(given | {"channel": Channel(row["channel"]), "purpose": purpose}))
