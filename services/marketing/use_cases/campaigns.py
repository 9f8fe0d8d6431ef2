"""Create, read, launch and close a campaign. `launch_worker` builds the audience of a launch, chunk by chunk."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from kielto.service.database import audit_entry
from kielto.service.database.pool import Pool, transaction
from kielto.service.http.idempotency import IdempotencyKey
from services.marketing.model import campaign as model
from services.marketing.model.campaign import Campaign, CampaignState, ListedPerson, PeopleCounts
from services.marketing.store import campaigns, recipients


async def create(pool: Pool, draft: Campaign, key: IdempotencyKey | None, answer: bytes) -> None:
    """Store a draft without `model.campaign.faults`; `answer` is kept for a repetition of the request."""
    async with transaction(pool) as conn:
        await campaigns.insert(conn, draft)
        audit_entry.about(draft.id)
        if key:
            await key.keep(conn, 201, answer)


async def read(pool: Pool, ident: UUID) -> Campaign | None:
    async with pool.acquire() as conn:
        return await campaigns.get(conn, ident)


async def counts(pool: Pool, ident: UUID) -> PeopleCounts:
    async with pool.acquire() as conn:
        return await recipients.counts(conn, ident)


async def page(pool: Pool, ident: UUID, after: UUID | None, limit: int) -> list[ListedPerson]:
    """The next people of the campaign's list, by ascending id."""
    async with pool.acquire() as conn:
        return await recipients.page(conn, ident, after, limit)


async def launch(pool: Pool, ident: UUID, now: datetime) -> Campaign:
    """Launch the campaign and return it; a launched one is returned unchanged. Raises StateConflictError when it is
    closed.
    """
    async with transaction(pool) as conn:
        campaign = await campaigns.lock(conn, ident)
        state = model.launch(campaign.state)
        if state is campaign.state:
            return campaign
        candidates = await campaigns.set_launching(conn, ident, now)
    return replace(campaign, state=CampaignState.LAUNCHING, launched_at=now, candidates=candidates)


async def close(pool: Pool, ident: UUID, now: datetime) -> Campaign:
    """Close the campaign for good: a running launch stops, and nobody is recalled any more, since nothing more is
    sent. Closing it again changes nothing.
    """
    async with transaction(pool) as conn:
        campaign = await campaigns.lock(conn, ident)
        if campaign.state is CampaignState.CLOSED:
            return campaign
        await campaigns.set_closed(conn, ident, now)
    return replace(campaign, state=CampaignState.CLOSED, closed_at=now)
