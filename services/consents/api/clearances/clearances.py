"""Clear a campaign's recipients before each is handed over, and look up what was cleared."""

import asyncio
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Response

from kielto.events.party import Party
from kielto.service.database import audit_entry
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.problem import ProblemError
from kielto.service.http.strict_route import StrictRoute
from kielto.service.http.throttle import Throttled
from services.consents.api.clearances.bodies import (
    ClearanceBody,
    FoundBody,
    GivenClearance,
    GivenSearch,
    ShownBody,
)
from services.consents.api.clearances.recipients import named, wanted_recipients
from services.consents.api.problems import answered, invalid
from services.consents.model.clearance import ClearanceReason, ClearanceRequest
from services.consents.use_cases.clearances.clear import clear, refuse_overdue
from services.consents.use_cases.clearances.search import search as search_clearances
from services.consents.use_cases.context import Context

PATH = "/consents/clearances"
Sender = Annotated[Caller, Depends(RoleCheck("campaigns", "desk"))]
Inquirer = Annotated[Caller, Depends(RoleCheck("campaigns", "desk", "dpo", "operator"))]


def router(context: Context) -> APIRouter:
    turns, settings = asyncio.Semaphore(context.limits.clearance_parts), context.settings
    routes = APIRouter(route_class=StrictRoute, prefix=PATH, tags=["clearances"])

    @routes.post("", response_model=ClearanceBody)
    async def post(given: GivenClearance, caller: Sender, throttle: Throttled) -> Response:
        """Whom the campaign may reach now; recorded before it is answered. Ask directly before handing over.

        There is no Idempotency-Key: a repeated answer would already be partly expired. Asking again is harmless.
        """
        company = _own(caller)
        throttle.recipients(caller, len(given.recipients))
        terms = given.model_dump(exclude={"recipients"})
        asked = ClearanceRequest(company=company, asked_by=caller.subject, **terms)
        wanted = await wanted_recipients(given, context, company)
        with answered():
            if settings.clearance_refuses_overdue:
                await refuse_overdue(context, company)
            found = await clear(context, asked, wanted, turns)
        body = {
            "id": found.id,
            "valid_seconds": settings.clearance_seconds,
            "results": [
                {"allowed": r.reason is ClearanceReason.ALLOWED, "reason": r.reason} for r in found.results
            ],
        }
        return Response(orjson.dumps(body), media_type="application/json")

    @routes.post("/search", response_model=FoundBody)
    async def search(given: GivenSearch, caller: Inquirer) -> FoundBody:
        """Was the campaign allowed to reach this recipient then, and on what record? A POST: no address in a URL."""
        company = given.company or caller.company
        if company is None or company not in context.group.company_ids:
            raise invalid("company", "must be a company of the group")
        caller.must_act_for(company)
        try:
            refs, _, address = named(given.recipient, given.channel, context, company)
        except ProblemError as refused:
            raise invalid(f"recipient.{refused.errors[0].field}", refused.errors[0].rule) from None
        found = await search_clearances(
            context, company, given.campaign, given.at, refs, address, caller.party
        )
        keys = {given.recipient.customer, *(record.key for _, record in found if record)} - {None}
        audit_entry.about(*(context.keys.from_pairwise(Party.company(company), str(key)) for key in keys))
        shown = [
            ShownBody(
                **cleared.request._asdict() | cleared._asdict(),
                allowed=cleared.reason is ClearanceReason.ALLOWED,
                record=record,
            )
            for cleared, record in found
            if cleared.request.channel == given.channel
        ]
        return FoundBody(allowed=any(one.allowed for one in shown), clearances=shown)

    return routes


def _own(caller: Caller) -> str:
    if caller.company is None:
        raise ProblemError(
            403, "company-needed", "The token must be a company's: a clearance is for that company"
        )
    return caller.company
