"""What a campaign has come to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from kielto.events.base import Hash
from kielto.service.keys import Keys
from kielto.service.problems import FieldError, invalid_request
from kielto.service.strict_route import StrictRoute
from services.marketing.api.bodies import CampaignCounts, RecipientPage
from services.marketing.api.own import Campaigner, own
from services.marketing.use_cases import look


def router(keys: Keys) -> APIRouter:
    """`keys`: by which a company has ids of its own of its customers."""
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
        after: Annotated[UUID | Hash | None, Query(description="The `next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> RecipientPage:
        """Whom the campaign was told to address, also those who were recalled."""
        await own(request, caller, ident)
        party = caller.party
        behind = None if after is None else _customer(keys, party, after)
        entries = await look.page(request.app.state.pool, ident, behind, limit)
        return RecipientPage.of(
            entries, limit, lambda known: keys.pairwise(party, known) if party else str(known)
        )

    return routes


def _customer(keys: Keys, party: str | None, given: UUID | str) -> UUID:
    """Raises Problem 422 for what is no id of the caller's."""
    found = given if isinstance(given, UUID) else None
    if party is not None:
        found = keys.from_pairwise(party, given) if isinstance(given, str) else None
    if found is None:
        raise invalid_request(FieldError("after", "is the next of a page before"))
    return found
