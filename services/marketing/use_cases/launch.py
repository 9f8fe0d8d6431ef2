"""Request a launch. `launch_worker` builds the audience afterwards, chunk by chunk."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from kielto.service.database.pool import Pool, transaction
from services.marketing.model import campaign as model
from services.marketing.model.campaign import Campaign, CampaignState
from services.marketing.store import campaigns


async def launch(pool: Pool, ident: UUID, now: datetime) -> Campaign:
    """The campaign, launching or launched already. Raises StateConflictError when it is closed."""
    async with transaction(pool) as conn:
        campaign = await campaigns.lock(conn, ident)
        state = model.launch(campaign.state)
        if state is campaign.state:
            return campaign
        candidates = await campaigns.set_launching(conn, ident, now)
    return replace(campaign, state=CampaignState.LAUNCHING, launched_at=now, candidates=candidates)
