"""What a campaign has come to."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from kielto.events.base import Hash
from kielto.service.http.problem import FieldError, invalid_request
from kielto.service.http.strict_route import StrictRoute
from kielto.service.support.crypto_keys import Keys
from services.marketing.api.access import Campaigner, own
from services.marketing.api.bodies import CampaignCounts, RecipientPage
from services.marketing.use_cases import queries


def router(keys: Keys) -> APIRouter:
    """`keys`: by which a company has ids of its own of its customers."""
    routes = APIRouter(route_class=StrictRoute, prefix="/marketing/campaigns", tags=["campaigns"])

    @routes.get("/{ident}")
    async def get(ident: UUID, request: Request, caller: Campaigner) -> CampaignCounts:
        """The campaign, how far its launch is, and its counts."""
        campaign = await own(request, caller, ident)
        return CampaignCounts.with_counts(campaign, await queries.counts(request.app.state.pool, ident))

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
        entries = await queries.page(request.app.state.pool, ident, behind, limit)
        return RecipientPage.of(
            entries, limit, lambda known: keys.pairwise(party, known) if party else str(known)
        )

    return routes


def _customer(keys: Keys, party: str | None, given: UUID | str) -> UUID:
    """Raises ProblemError 422 for what is no id of the caller's."""
    found = given if isinstance(given, UUID) else None
    if party is not None:
        found = keys.from_pairwise(party, given) if isinstance(given, str) else None
    if found is None:
        raise invalid_request(FieldError("after", "is the next of a page before"))
    return found
