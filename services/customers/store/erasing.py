"""Taking a person out of the register."""

from uuid import UUID

import asyncpg

from kielto.service.database.pool import Conn
from services.customers.model.problems import HasContactPersonsError
from services.customers.store.locking import lock

_TABLES = ("points", "unreadable_values", "identifiers", "customerships", "statements")

_BLINDS = """
WITH whole AS (SELECT coalesce(alias_of, id) AS id FROM customers WHERE id = $1)
SELECT blind FROM points JOIN whole ON customer = whole.id WHERE kind <> 'post'
UNION SELECT blind FROM identifiers JOIN whole ON customer = whole.id"""


async def blinds(conn: Conn, ident: UUID) -> list[bytes]:
    """The keys under which others are linked to this customer."""
    return [r["blind"] for r in await conn.fetch(_BLINDS, ident)]


_COMPANIES = "SELECT DISTINCT company FROM customerships WHERE customer = $1 ORDER BY 1"

_DELETE_ROWS = "DELETE FROM {} WHERE customer = $1"

_DELETE_CUSTOMERS = "DELETE FROM customers WHERE id = ANY ($1::uuid[])"


async def erase(conn: Conn, ident: UUID) -> dict[UUID, tuple[str, ...]] | None:
    """Delete every row of one customer, last the data key. Returns the companies whose customer it was, by each of the
    customer's ids, those merged away too; None when there is no such customer. Raises HasContactPersonsError,
    ConcurrentChangeError.
    """
    rows = await lock(conn, [ident])
    if ident not in rows:
        return None
    survivor = rows[ident].alias_of or ident
    found = await conn.fetch(_COMPANIES, survivor)
    companies = {i: row.companies for i, row in rows.items() if row.alias_of == survivor}
    companies[survivor] = tuple(row["company"] for row in found)
    for table in _TABLES:
        await conn.execute(_DELETE_ROWS.format(table), survivor)
    try:
        await conn.execute(_DELETE_CUSTOMERS, list(companies))
    except asyncpg.ForeignKeyViolationError:
        raise HasContactPersonsError from None
    return companies
