"""Whom a campaign was told to address, who was taken out again, and what the parties reported of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from kielto.events.messages import Report
from kielto.service.database.pool import Conn
from services.marketing.model.campaign import Aim, ListedPerson, PeopleCounts
from services.marketing.store.campaigns import aim_of


class Permitted(NamedTuple):
    """A contact point that may be addressed. `encrypted` is its encrypted digest; None for a postal address."""

    customer: UUID
    point: UUID
    encrypted: str | None


class AddressedPoint(NamedTuple):
    customer: UUID
    point: UUID
    subject: str
    address: str


class Recalled(NamedTuple):
    """One person taken out of one campaign, with the addresses taken back."""

    campaign: UUID
    aim: Aim
    subject: str
    addresses: list[str]


_PERMITTED = """
SELECT DISTINCT c.customer, c.point, p.points ->> c.point::text AS encrypted
FROM cells c JOIN people p ON p.id = c.customer
WHERE c.company = $1 AND c.customer = ANY($2::uuid[])
  AND c.purpose = $3 AND c.channel = $4
  AND c.partner IS NOT DISTINCT FROM $5 AND c.mode IS NOT DISTINCT FROM $6
  AND (c.product_groups IS NULL OR c.product_groups ? $7)
  AND p.customer_status = 'live' AND p.permission_status = 'live' AND p.points ? c.point::text
  AND coalesce(p.holders -> c.point::text ? c.company, true)
ORDER BY c.customer, c.point"""


async def permitted(conn: Conn, aim: Aim, customers: Sequence[UUID]) -> list[Permitted]:
    """The contact points of these people that permit the aim, by person. The caller holds the people."""
    rows = await conn.fetch(
        _PERMITTED, aim.company, customers, aim.purpose, aim.channel, aim.partner, aim.mode, aim.product_group
    )
    return [Permitted(row["customer"], row["point"], row["encrypted"]) for row in rows]


# Nobody is in a campaign twice: who was recalled stays so.
_INSERT = """
INSERT INTO recipients (campaign, customer, point, subject, address, addressed_at)
SELECT $1, customer, point, subject, address, $2
FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[]) AS new (customer, point, subject, address)
ON CONFLICT DO NOTHING
RETURNING customer, point"""


async def insert(
    conn: Conn, campaign: UUID, at: datetime, rows: Sequence[AddressedPoint]
) -> list[AddressedPoint]:
    """Returns those that are new to the campaign, in the given order."""
    if not rows:
        return []
    inserted = await conn.fetch(_INSERT, campaign, at, *map(list, zip(*rows, strict=True)))
    new = {(row["customer"], row["point"]) for row in inserted}
    return [row for row in rows if (row.customer, row.point) in new]


# What a standing recipient rests on is gone. A merged person (alias) keeps what the survivor permits.
_RECALL = """
WITH gone AS (
    UPDATE recipients r SET recalled_at = $2
    FROM campaigns c
    WHERE r.customer = ANY($1::uuid[]) AND r.recalled_at IS NULL
      AND c.id = r.campaign AND c.state IN ('launching', 'launched')
      AND NOT EXISTS (
          SELECT FROM cells x JOIN people p ON p.id = x.customer
          WHERE x.company = c.company AND x.customer = r.customer AND x.point = r.point
            AND x.purpose = c.purpose AND x.channel = c.channel
            AND x.partner IS NOT DISTINCT FROM c.partner AND x.mode IS NOT DISTINCT FROM c.mode
            AND (x.product_groups IS NULL OR x.product_groups ? c.product_group)
            AND coalesce(p.holders -> x.point::text ? c.company, true)
            AND p.customer_status IN ('live', 'alias'))
    RETURNING r.campaign, r.subject, r.address
), taken AS (
    SELECT campaign, subject, array_agg(address ORDER BY address) AS addresses
    FROM gone GROUP BY campaign, subject
)
SELECT c.*, taken.campaign, taken.subject, taken.addresses
FROM taken JOIN campaigns c ON c.id = taken.campaign ORDER BY c.id, taken.subject"""


async def recall(conn: Conn, customers: Sequence[UUID], at: datetime) -> list[Recalled]:
    """Take these people out of every campaign under way whose message they no longer permit."""
    rows = await conn.fetch(_RECALL, customers, at)
    return [Recalled(r["campaign"], aim_of(r), r["subject"], r["addresses"]) for r in rows]


_RECALL_ALL = """
WITH next AS (
    SELECT customer, point FROM recipients WHERE campaign = $1 AND recalled_at IS NULL
    LIMIT $3 FOR UPDATE SKIP LOCKED
), gone AS (
    UPDATE recipients r SET recalled_at = $2 FROM next n
    WHERE r.campaign = $1 AND r.customer = n.customer AND r.point = n.point
    RETURNING r.campaign, r.subject, r.address
), taken AS (
    SELECT campaign, subject, array_agg(address ORDER BY address) AS addresses
    FROM gone GROUP BY campaign, subject
)
SELECT c.*, taken.campaign, taken.subject, taken.addresses
FROM taken JOIN campaigns c ON c.id = taken.campaign ORDER BY taken.subject"""


async def recall_all(conn: Conn, campaign: UUID, at: datetime, limit: int) -> list[Recalled]:
    """Take the next addresses out of the campaign, at most `limit`; rows that another recall holds are passed over."""
    rows = await conn.fetch(_RECALL_ALL, campaign, at, limit)
    return [Recalled(r["campaign"], aim_of(r), r["subject"], r["addresses"]) for r in rows]


_STANDS = "SELECT EXISTS (SELECT FROM recipients WHERE campaign = $1 AND recalled_at IS NULL)"


async def stands(conn: Conn, campaign: UUID) -> bool:
    """Whether any address was not recalled."""
    return bool(await conn.fetchval(_STANDS, campaign))


_PAGE = """
SELECT customer, bool_or(recalled_at IS NULL) AS standing FROM recipients
WHERE campaign = $1 AND ($2::uuid IS NULL OR customer > $2)
GROUP BY customer ORDER BY customer LIMIT $3"""


async def page(conn: Conn, campaign: UUID, after: UUID | None, limit: int) -> list[ListedPerson]:
    rows = await conn.fetch(_PAGE, campaign, after, limit)
    return [ListedPerson(row["customer"], row["standing"]) for row in rows]


_COUNTS = """
SELECT count(*) AS addressed, count(*) FILTER (WHERE NOT standing) AS recalled,
       (SELECT count(*) FROM deliveries d WHERE d.campaign = $1 AND d.what = 'delivery') AS delivered,
       (SELECT count(*) FROM deliveries d WHERE d.campaign = $1 AND d.what = 'response') AS responded
FROM (SELECT bool_or(recalled_at IS NULL) AS standing
      FROM recipients WHERE campaign = $1 GROUP BY customer) AS person"""


async def counts(conn: Conn, campaign: UUID) -> PeopleCounts:
    row = await conn.fetchrow(_COUNTS, campaign)
    assert row is not None  # an aggregate without GROUP BY always has one row
    return PeopleCounts(*row)


_MEANT = "SELECT customer FROM recipients WHERE campaign = $1 AND subject = $2 LIMIT 1"


async def meant(conn: Conn, campaign: UUID, subject: str) -> UUID | None:
    """Who the party means by `subject`; None for whom the campaign was never given."""
    customer: UUID | None = await conn.fetchval(_MEANT, campaign, subject)
    return customer


# A report read twice is one report: its id is unique within its party.
_INSERT_REPORT = """
INSERT INTO deliveries (party, id, campaign, customer, what, channel, address, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING id"""


async def insert_report(conn: Conn, party: str, report: Report, customer: UUID) -> bool:
    """Store a reported delivery or response. False when it was stored before."""
    about = (report.campaign, customer, report.what, report.channel, report.point, report.at)
    return await conn.fetchval(_INSERT_REPORT, party, report.id, *about) is not None
