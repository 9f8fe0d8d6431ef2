"""Taking a customer out of the register."""

from uuid import UUID

import asyncpg

from kielto.service.postgres import Conn


class Organisation(Exception):
    """Contact persons act for it."""


_LOCK = "SELECT id FROM customers WHERE id = $1 FOR UPDATE"
_TABLES = ("points", "identifiers", "customerships")


async def erase(conn: Conn, ident: UUID) -> list[str] | None:
    """Delete every row of theirs, and with the last the key of all that was sealed; the companies whose customer they
    were. None: there is no such customer. Raises Organisation.
    """
    if await conn.fetchval(_LOCK, ident) is None:
        return None
    rows = await conn.fetch(
        "SELECT DISTINCT company FROM customerships WHERE customer = $1 ORDER BY 1", ident
    )
    for table in _TABLES:
        await conn.execute(f"DELETE FROM {table} WHERE customer = $1", ident)  # noqa: S608 - names of ours
    try:
        await conn.execute("DELETE FROM customers WHERE id = $1", ident)
    except asyncpg.ForeignKeyViolationError:
        raise Organisation from None
    return [row["company"] for row in rows]
