"""Who may touch which campaign: role `campaigns`, and a caller with a company only its own."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends

from kielto.service.http.auth import Caller, require
from kielto.service.http.problem import ProblemError
from services.marketing.model.campaign import Campaign
from services.marketing.use_cases import queries
from services.marketing.use_cases.context import MarketingContext

Campaigner = Annotated[Caller, Depends(require("campaigns"))]


async def visible_to(context: MarketingContext, caller: Caller, ident: UUID) -> Campaign:
    """The campaign. Raises ProblemError 404 if there is none, or if it is another company's."""
    campaign = await queries.campaign(context.pool, ident)
    if campaign is None or caller.company not in (None, campaign.aim.company):
        raise ProblemError(404, "unknown-campaign", "There is no such campaign")
    return campaign
