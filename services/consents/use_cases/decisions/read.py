"""One decision as it was given."""

from uuid import UUID

import asyncpg

from kielto.service.database.pool import Pool
from services.consents.store.decisions import decisions
from services.consents.use_cases.context import Context
from services.consents.use_cases.errors import UnknownDecisionError


async def read_decision(
    pool: Pool, context: Context, ident: UUID, party: str | None
) -> tuple[asyncpg.Record, str | None]:
    """The row of `decisions` and its evidence in clear. Raises UnknownDecisionError."""
    async with pool.acquire() as conn:
        row = await decisions.get(conn, ident, party)
    if row is None or party not in (None, row["party"]):
        raise UnknownDecisionError
    evidence = None
    if row["key"] is not None:
        evidence = context.keys.data_key(ident, row["key"]).decrypt(row["text"], b"evidence")
    return row, evidence
