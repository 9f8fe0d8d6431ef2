"""Close a campaign: a running launch stops, and nobody is recalled any more, since nothing more is sent."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from kielto.service.database.pool import Pool, transaction
from services.marketing.model.campaign import Campaign, CampaignState
from services.marketing.store import campaigns


async def close(pool: Pool, ident: UUID, now: datetime) -> Campaign:
    """Closed for good; closing it again changes nothing."""
    async with transaction(pool) as conn:
        campaign = await campaigns.lock(conn, ident)
        if campaign.state is CampaignState.CLOSED:
            return campaign
        await campaigns.set_closed(conn, ident, now)
    return replace(campaign, state=CampaignState.CLOSED, closed_at=now)
