"""Reading the access log, and deleting its old entries."""

import asyncpg

from kielto.service.database.pool import Pool

_FIND = """
SELECT id, at, actor, company, roles, action, subjects, why, outcome, rule, detail, trace FROM audit_trail
WHERE ($1::text IS NULL OR company = $1)
    AND ($2::uuid IS NULL OR subjects @> ARRAY[$2::uuid])
    AND ($3::text IS NULL OR actor = $3)
    AND ($4::text IS NULL OR action = $4)
    AND ($5::timestamptz IS NULL OR at >= $5)
    AND ($6::timestamptz IS NULL OR at < $6)
    AND ($7::bigint IS NULL OR id < $7)
ORDER BY id DESC LIMIT $8"""


async def find(pool: Pool, *filters: object) -> list[asyncpg.Record]:
    """The newest first. `filters`: company, subject, actor, action, from, to, the id to begin below, and how many; None
    of the first seven: any.
    """
    return await pool.fetch(_FIND, *filters)


_FORGET_OLD = "DELETE FROM audit_trail WHERE at < now() - make_interval(days => $1)"


async def forget_old(pool: Pool, days: int) -> None:
    """Delete entries that are older than `days`; the database refuses to delete one that is younger than a year."""
    await pool.execute(_FORGET_OLD, days)
