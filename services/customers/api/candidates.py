"""Pairs that may be one customer; for the group's role `register` only."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query, Response

from kielto.service.http.strict_route import StrictRoute
from services.customers.api.bodies import Apart, CandidatesBody, ContradictionsBody
from services.customers.api.callers import Writer, answered
from services.customers.use_cases import candidates as queue
from services.customers.use_cases.candidates import FIRST, PAGE
from services.customers.use_cases.context import CustomersContext

_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_AFTER = rf"^{_UUID}\.{_UUID}$"


def router(context: CustomersContext) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/customers/candidates", tags=["candidates"])

    @routes.get("", response_model=CandidatesBody)
    async def candidates(
        caller: Writer, after: Annotated[str | None, Query(pattern=_AFTER)] = None
    ) -> CandidatesBody:
        """List pairs of customers with an identifier or a contact point in common that nobody has decided on. Merge
        one into the other, or mark them as different people.
        """
        caller.must_act_for(None)
        one, other = map(UUID, after.split(".")) if after else (FIRST, FIRST)
        found = await queue.candidates(context, (one, other))
        more = f"{found[-1].one}.{found[-1].other}" if len(found) == PAGE else None
        return CandidatesBody.model_validate({"items": found, "next": more})

    @routes.get("/contradictions", response_model=ContradictionsBody)
    async def contradictions(
        caller: Writer, after: Annotated[UUID | None, Query()] = None
    ) -> ContradictionsBody:
        """List refused rows that name a customer by an identifier and contradict what is stated about it."""
        caller.must_act_for(None)
        found = await queue.contradictions(context, after or FIRST)
        more = found[-1].id if len(found) == PAGE else None
        return ContradictionsBody.model_validate({"items": found, "next": more})

    @routes.post("/{one}/{other}/apart", status_code=204)
    async def apart(one: UUID, other: UUID, given: Annotated[Apart, Body()], caller: Writer) -> Response:
        """Mark two customers as different people: a no of one does not bind the other any more. Idempotent."""
        caller.must_act_for(None)
        with answered():
            await queue.mark_apart(context, one, other, given.reason, caller.subject)
        return Response(status_code=204)

    return routes
