"""Campaigns: create, read, launch and close them; list their recipients. For role `campaigns`; a caller with a company
sees only its own.
"""

from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Query, Response

from kielto.events.base import Hash
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import ProblemError, invalid_request
from kielto.service.http.strict_route import StrictRoute
from kielto.service.support.crypto_keys import Keys
from kielto.validation import FieldRule
from services.marketing.api.bodies import CampaignBody, CampaignCounts, NewCampaign, RecipientPage
from services.marketing.model.campaign import Campaign, CampaignState, StateConflictError, faults
from services.marketing.use_cases.campaigns import close, counts, create, launch, page, read
from services.marketing.use_cases.context import MarketingContext

Campaigner = Annotated[Caller, Depends(RoleCheck("campaigns"))]
Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


def router(context: MarketingContext) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/marketing/campaigns", tags=["campaigns"])

    @routes.post("", status_code=201, response_model=CampaignBody)
    async def post(body: NewCampaign, caller: Campaigner, key: Key) -> Response:
        """Create a campaign. It addresses nobody until it is launched."""
        company = body.company or caller.company
        if company is None:
            raise _refused([FieldRule("company", "is required for a caller for the whole group")])
        caller.must_act_for(company)
        draft = Campaign(uuid4(), body.name, body.aim(company), CampaignState.OPEN, context.clock())
        if found := faults(draft.aim, context.group):
            raise _refused(found)
        answer = CampaignBody.of(draft).model_dump_json().encode()
        await create(context.pool, draft, key, answer)
        location = {"Location": f"/marketing/campaigns/{draft.id}"}
        return Response(answer, 201, location, media_type="application/json")

    @routes.post("/{ident}/launch", status_code=202)
    async def post_launch(ident: UUID, caller: Campaigner) -> CampaignBody:
        """Launch: address everyone who permits it. The launch is complete when `state` is `launched`. Idempotent."""
        await _visible_to(context, caller, ident)
        return await _launch(context, ident)

    @routes.post("/{ident}/disclosures", status_code=202)
    async def post_disclosures(ident: UUID, caller: Campaigner) -> CampaignBody:
        """Launch a campaign that the partner sends: everyone who permits it is disclosed to the partner, and each
        disclosure is recorded.
        """
        if not (await _visible_to(context, caller, ident)).aim.discloses:
            raise ProblemError(
                409, "nothing-to-disclose", "Only a campaign with mode partner_sends discloses anybody"
            )
        return await _launch(context, ident)

    @routes.post("/{ident}/close")
    async def post_close(ident: UUID, caller: Campaigner) -> CampaignBody:
        """Close the campaign for good: nothing more is sent, so nobody is recalled any more."""
        await _visible_to(context, caller, ident)
        return CampaignBody.of(await close(context.pool, ident, context.clock()))

    @routes.get("/{ident}")
    async def get(ident: UUID, caller: Campaigner) -> CampaignCounts:
        """Read the campaign, the progress of its launch, and its counts."""
        campaign = await _visible_to(context, caller, ident)
        return CampaignCounts.with_counts(campaign, await counts(context.pool, ident))

    @routes.get("/{ident}/recipients")
    async def get_recipients(
        ident: UUID,
        caller: Campaigner,
        after: Annotated[UUID | Hash | None, Query(description="`next` of the previous page.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> RecipientPage:
        """List the people that the campaign was told to address, including those who were recalled."""
        await _visible_to(context, caller, ident)
        party = caller.party
        behind = None if after is None else _customer(context.keys, party, after)
        entries = await page(context.pool, ident, behind, limit)
        return RecipientPage.of(
            entries, limit, lambda known: context.keys.pairwise(party, known) if party else str(known)
        )

    return routes


async def _visible_to(context: MarketingContext, caller: Caller, ident: UUID) -> Campaign:
    """The campaign. Raises ProblemError 404 if there is none, or if it is another company's."""
    campaign = await read(context.pool, ident)
    if campaign is None or caller.company not in (None, campaign.aim.company):
        raise ProblemError(404, "unknown-campaign", "There is no such campaign")
    return campaign


async def _launch(context: MarketingContext, ident: UUID) -> CampaignBody:
    try:
        campaign = await launch(context.pool, ident, context.clock())
    except StateConflictError as conflict:
        raise ProblemError(
            409, "campaign-state", "The campaign's state does not allow this", str(conflict)
        ) from None
    context.wake.set()
    return CampaignBody.of(campaign)


def _refused(found: list[FieldRule]) -> ProblemError:
    return ProblemError(422, "invalid-request", "Invalid campaign", errors=found)


def _customer(keys: Keys, party: str | None, given: UUID | str) -> UUID:
    """The customer named by a page's `next`. Raises ProblemError 422 if it is not an id of the caller's."""
    found = given if isinstance(given, UUID) else None
    if party is not None:
        found = keys.from_pairwise(party, given) if isinstance(given, str) else None
    if found is None:
        raise invalid_request(FieldRule("after", "must be `next` of an earlier page"))
    return found
