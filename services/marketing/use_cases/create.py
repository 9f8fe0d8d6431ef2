"""Create a campaign. It addresses nobody until it is launched."""

from kielto.service.database import access_entry
from kielto.service.database.pool import Pool, transaction
from kielto.service.http.idempotency import IdempotencyKey
from services.marketing.model.campaign import Campaign
from services.marketing.store import campaigns


async def create(pool: Pool, draft: Campaign, key: IdempotencyKey | None, answer: bytes) -> None:
    """Store a draft without `model.campaign.faults`; `answer` is kept for a repetition of the request."""
    async with transaction(pool) as conn:
        await campaigns.insert(conn, draft)
        access_entry.about(draft.id)
        if key:
            await key.keep(conn, 201, answer)
