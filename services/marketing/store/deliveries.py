"""Deliveries and responses as the parties report them."""

from uuid import UUID

from kielto.events.messages import Report
from kielto.service.database.pool import Conn

# A report read twice is one report: its id is unique within its party.
_INSERT = """
INSERT INTO deliveries (party, id, campaign, customer, what, channel, address, at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING
RETURNING id"""


async def insert(conn: Conn, party: str, report: Report, customer: UUID) -> bool:
    """False when this report was stored before."""
    stored = await conn.fetchval(
        _INSERT,
        party,
        report.id,
        report.campaign,
        customer,
        report.what,
        report.channel,
        report.point,
        report.at,
    )
    return stored is not None
