"""Breaches as cases: list them, and close one with an officer's explanation."""

from uuid import UUID

from kielto.service.database.pool import in_transaction
from services.consents.model.breach import Breach
from services.consents.store.breaches import deliveries
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.overdue import FIRST, After


async def list_breaches(
    context: Context, company: str | None, state: str | None, after: After, limit: int
) -> list[Breach]:
    """The oldest first, from behind `after`; of one company, or of all."""
    return await deliveries.breaches(context.pool, company, state, after, limit)


async def get_breach(context: Context, company: str | None, ident: UUID) -> Breach | None:
    """None when there is none, or it is another company's."""
    found = await deliveries.breaches(context.pool, company, None, FIRST, 1, ident)
    return found[0] if found else None


async def close_breach(
    context: Context, company: str | None, ident: UUID, state: str, note: str, by: str
) -> bool:
    """Set the state to explained or closed. False when there is no such breach."""
    return await in_transaction(
        context.pool, lambda conn: deliveries.settle(conn, ident, company, state, note, by)
    )
