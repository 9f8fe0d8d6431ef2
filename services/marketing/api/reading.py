"""What a campaign has come to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from kielto.service.strict_route import StrictRoute
from services.marketing.api.bodies import CampaignCounts, RecipientPage
from services.marketing.api.own import Campaigner, own
from services.marketing.use_cases import look

routes = APIRouter(route_class=StrictRoute, prefix="/marketing/campaigns", tags=["campaigns"])


@routes.get("/{ident}")
async def get(ident: UUID, request: Request, caller: Campaigner) -> CampaignCounts:
    """The campaign, how far its launch is, and its counts."""
    campaign = await own(request, caller, ident)
    return CampaignCounts.with_counts(campaign, await look.counts(request.app.state.pool, ident))


@routes.get("/{ident}/recipients")
async def get_recipients(
    ident: UUID,
    request: Request,
    caller: Campaigner,
    after: Annotated[UUID | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> RecipientPage:
    """Whom the campaign was told to address, by ascending id, also those who were recalled."""
    await own(request, caller, ident)
    return RecipientPage.of(await look.page(request.app.state.pool, ident, after, limit), limit)
