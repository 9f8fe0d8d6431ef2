"""Campaigns: their aim, state, and how far a launch has come."""

from collections.abc import Sequence
from dataclasses import astuple
from datetime import datetime
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from kielto.service.database.pool import Conn
from services.marketing.model.campaign import Aim, Campaign

_INSERT = """
INSERT INTO campaigns
    (id, name, company, purpose, channel, product_group, partner, mode, party, state, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"""


async def insert(conn: Conn, campaign: Campaign) -> None:
    aim = (*astuple(campaign.aim), campaign.aim.party)
    await conn.execute(_INSERT, campaign.id, campaign.name, *aim, campaign.state, campaign.created_at)


_GET = "SELECT * FROM campaigns WHERE id = $1"


async def get(conn: Conn, ident: UUID) -> Campaign | None:
    row = await conn.fetchrow(_GET, ident)
    return _campaign(row) if row else None


_LOCK = "SELECT * FROM campaigns WHERE id = $1 FOR UPDATE"


async def lock(conn: Conn, ident: UUID) -> Campaign:
    """Read and lock the campaign until the transaction ends. Lock it before people."""
    row = await conn.fetchrow(_LOCK, ident)
    assert row is not None  # the caller has read it, and none is ever deleted
    return _campaign(row)


# The progress of a launch is measured against the company's people at this moment.
_LAUNCH = """
UPDATE campaigns
SET state = 'launching', launched_at = $2,
    candidates = (SELECT count(*) FROM permissions p WHERE p.company = campaigns.company)
WHERE id = $1
RETURNING candidates"""


async def set_launching(conn: Conn, ident: UUID, at: datetime) -> int:
    """Set the state to launching and return the number of people to look at."""
    return int(await conn.fetchval(_LAUNCH, ident, at))


_CLOSE = "UPDATE campaigns SET state = 'closed', closed_at = $2, waiting_for = NULL WHERE id = $1"


async def set_closed(conn: Conn, ident: UUID, at: datetime) -> None:
    await conn.execute(_CLOSE, ident, at)


# The oldest launch under way that nobody else is at.
_NEXT_LAUNCHING = """
SELECT * FROM campaigns WHERE state = 'launching' ORDER BY launched_at, id LIMIT 1 FOR UPDATE SKIP LOCKED"""


async def next_launching(conn: Conn) -> Campaign | None:
    """A launch to carry on with, locked; None when there is none."""
    row = await conn.fetchrow(_NEXT_LAUNCHING)
    return _campaign(row) if row else None


# Partners as pairs "<company> <partner>", for the companies that work with them.
_ORPHAN = """
SELECT * FROM campaigns
WHERE state <> 'closed'
    AND (company <> ALL($1::text[]) OR (partner IS NOT NULL AND company || ' ' || partner <> ALL($2::text[])))
ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"""


async def orphan(conn: Conn, companies: Sequence[str], pairs: Sequence[tuple[str, str]]) -> Campaign | None:
    """A campaign that is not closed, of none of these companies or of a partner that its company does not work with,
    locked; None when there is none that nobody else is at."""
    row = await conn.fetchrow(_ORPHAN, companies, [" ".join(pair) for pair in pairs])
    return _campaign(row) if row else None


_LAUNCHING = "SELECT * FROM campaigns WHERE state = 'launching' ORDER BY launched_at, id LIMIT 1000"


async def launching(conn: Conn) -> list[Campaign]:
    """The campaigns that are launching, the oldest first."""
    return [_campaign(row) for row in await conn.fetch(_LAUNCHING)]


# Whom it is measured against is counted again when it may begin.
_SET_WAITING = """
UPDATE campaigns SET waiting_for = $2::text, caught_up = $2::text IS NULL, candidates = CASE WHEN $2::text IS NULL
    THEN (SELECT count(*) FROM permissions p WHERE p.company = campaigns.company) ELSE candidates END
WHERE id = $1 AND state = 'launching' AND seen = 0"""


async def set_waiting(conn: Conn, ident: UUID, reason: str | None) -> None:
    """Store what a launch waits for before it begins; None: nothing, it begins."""
    await conn.execute(_SET_WAITING, ident, reason)


_CANDIDATES = """
SELECT customer FROM permissions
WHERE company = $1 AND ($2::uuid IS NULL OR customer > $2)
ORDER BY customer LIMIT $3"""


async def candidates(conn: Conn, company: str, after: UUID | None, limit: int) -> list[UUID]:
    """The next people who permit the company anything at all, by ascending id."""
    return [row["customer"] for row in await conn.fetch(_CANDIDATES, company, after, limit)]


_ADVANCE = "UPDATE campaigns SET cursor = $2, seen = seen + $3 WHERE id = $1"


async def advance(conn: Conn, ident: UUID, cursor: UUID, seen: int) -> None:
    await conn.execute(_ADVANCE, ident, cursor, seen)


_FINISH = "UPDATE campaigns SET state = 'launched' WHERE id = $1"


async def finish(conn: Conn, ident: UUID) -> None:
    await conn.execute(_FINISH, ident)


_CAMPAIGN, _AIM = TypeAdapter(Campaign), TypeAdapter(Aim)


def _campaign(row: asyncpg.Record) -> Campaign:
    return _CAMPAIGN.validate_python({**row, "aim": aim_of(row)})


def aim_of(row: asyncpg.Record) -> Aim:
    """The aim in a row that has the columns of a campaign."""
    return _AIM.validate_python(dict(row))
