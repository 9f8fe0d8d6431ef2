"""End campaigns of a company or partner that left the group, or that no longer work together: recall everybody and
close them.
"""

from datetime import datetime

from kielto.group import Group
from kielto.service.database.pool import Pool, transaction
from services.marketing.store import campaigns, recipients
from services.marketing.use_cases.recall import tell

AT_ONCE = 1000
"""Addresses recalled in one transaction."""


async def end_next(pool: Pool, group: Group, now: datetime) -> bool:
    """One step; a killed one goes on. False when no such campaign is left that nobody else is at."""
    pairs = [(company, partner.id) for partner in group.partners for company in partner.of]
    async with transaction(pool) as conn:
        campaign = await campaigns.orphan(conn, group.company_ids, pairs)
        if campaign is None:
            return False
        recalled = await recipients.recall_all(conn, campaign.id, now, AT_ONCE)
        await tell(conn, recalled, now, now)
        if not recalled and not await recipients.stands(conn, campaign.id):
            await campaigns.set_closed(conn, campaign.id, now)
    return True
