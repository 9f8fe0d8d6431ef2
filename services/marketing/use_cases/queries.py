"""Read a campaign: its state, counts and list of people."""

from uuid import UUID

from kielto.service.database.pool import Pool
from services.marketing.model.campaign import Campaign, ListedPerson, PeopleCounts
from services.marketing.store import campaigns, recipients


async def campaign(pool: Pool, ident: UUID) -> Campaign | None:
    async with pool.acquire() as conn:
        return await campaigns.get(conn, ident)


async def counts(pool: Pool, ident: UUID) -> PeopleCounts:
    async with pool.acquire() as conn:
        return await recipients.counts(conn, ident)


async def page(pool: Pool, ident: UUID, after: UUID | None, limit: int) -> list[ListedPerson]:
    """The next people of the campaign's list, by ascending id."""
    async with pool.acquire() as conn:
        return await recipients.page(conn, ident, after, limit)
