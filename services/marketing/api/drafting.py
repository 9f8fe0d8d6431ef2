"""Campaigns are drafted, launched and closed."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends, Request, Response

from kielto.group import Group
from kielto.service.http.idempotency import IdempotencyKey, idempotency_key
from kielto.service.http.problem import FieldError, ProblemError
from kielto.service.http.strict_route import StrictRoute
from services.marketing.api.access import Campaigner, own
from services.marketing.api.bodies import CampaignBody, NewCampaign
from services.marketing.model.campaign import (
    Campaign,
    CampaignFault,
    CampaignState,
    StateConflictError,
    faults,
)
from services.marketing.use_cases.close import close
from services.marketing.use_cases.create import create
from services.marketing.use_cases.launch import launch

Key = Annotated[IdempotencyKey | None, Depends(idempotency_key)]


def router(group: Group, clock: Callable[[], datetime], wake: asyncio.Event) -> APIRouter:
    """`wake` is set when a launch was asked for, so that it begins at once."""
    routes = APIRouter(route_class=StrictRoute, prefix="/marketing/campaigns", tags=["campaigns"])

    @routes.post("", status_code=201, response_model=CampaignBody)
    async def post(body: NewCampaign, request: Request, caller: Campaigner, claim: Key) -> Response:
        """Draft a campaign. It addresses nobody until it is launched."""
        company = body.company or caller.company
        if company is None:
            raise _refused([CampaignFault("company", "is required of a caller for the whole group")])
        caller.must_act_for(company)
        draft = Campaign(uuid4(), body.name, body.aim(company), CampaignState.OPEN, clock())
        if found := faults(draft.aim, group):
            raise _refused(found)
        answer = CampaignBody.of(draft).model_dump_json().encode()
        await create(request.app.state.pool, draft, claim, answer)
        location = {"Location": f"/marketing/campaigns/{draft.id}"}
        return Response(answer, 201, location, media_type="application/json")

    @routes.post("/{ident}/launch", status_code=202)
    async def post_launch(ident: UUID, request: Request, caller: Campaigner) -> CampaignBody:
        """Address everyone who permits it: done when `state` is `launched`. Repeated, it changes nothing."""
        await own(request, caller, ident)
        return await _launch(request, ident)

    @routes.post("/{ident}/disclosures", status_code=202)
    async def post_disclosures(ident: UUID, request: Request, caller: Campaigner) -> CampaignBody:
        """Launch a campaign that the partner sends: whoever permits it is disclosed, each one on record."""
        if not (await own(request, caller, ident)).aim.discloses:
            raise ProblemError(409, "nothing-to-disclose", "Only a campaign with partner_sends discloses")
        return await _launch(request, ident)

    async def _launch(request: Request, ident: UUID) -> CampaignBody:
        try:
            campaign = await launch(request.app.state.pool, ident, clock())
        except StateConflictError as conflict:
            raise ProblemError(409, "campaign-state", "Impossible in this state", str(conflict)) from None
        wake.set()
        return CampaignBody.of(campaign)

    @routes.post("/{ident}/close")
    async def post_close(ident: UUID, request: Request, caller: Campaigner) -> CampaignBody:
        """End the campaign for good: nothing more is sent, so nobody is recalled any more."""
        await own(request, caller, ident)
        return CampaignBody.of(await close(request.app.state.pool, ident, clock()))

    return routes


def _refused(found: list[CampaignFault]) -> ProblemError:
    errors = [FieldError(f.field, f.rule) for f in found]
    return ProblemError(422, "invalid-request", "Invalid campaign", errors=errors)
