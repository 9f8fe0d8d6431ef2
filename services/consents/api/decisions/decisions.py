"""Record decisions, read them, and ask where each one has been applied."""

from typing import Annotated

from fastapi import APIRouter, Body, Response
from pydantic import BaseModel, Field

from kielto.service.database.pool import Conn
from kielto.service.http.strict_route import StrictRoute
from kielto.service.http.throttle import Throttled
from services.consents.api.callers import Desk, Ident, Key, Reader, decision_asked
from services.consents.api.decisions.bodies import EXAMPLES, GivenDecision, ShownDecision
from services.consents.api.problems import answered
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.decide import receive
from services.consents.use_cases.decisions.read import read_decision
from services.consents.use_cases.decisions.receipt import DecisionOutcome, DecisionReceipt, receipt
from services.consents.use_cases.propagation.whereabouts import Location, Stage, locate


class WhereaboutsBody(BaseModel):
    decision: str = Field(description="Our id; to a company its own reference.")
    everywhere: bool = Field(description="Every subscriber to whom it means something has applied it.")
    subscribers: list[Location]


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents/decisions", tags=["decisions"])

    @routes.post("", status_code=201, response_model=DecisionReceipt)
    async def post(
        given: Annotated[GivenDecision, Body(openapi_examples=EXAMPLES)],
        caller: Desk,
        key: Key,
        throttle: Throttled,
    ) -> Response:
        """Record a decision. 201 means: committed. A *no* is taken for anybody, known or not.

        To a company's token somebody whom nobody knows and another company's customer are the same: a *no* about
        either, by a customer's id too, is kept, answered `pending`, and binds whoever it names, now or later; a *yes*
        about either is refused. Answers differ in ids and times alone; response times are not equalised.
        """
        command = given.command(context, caller)

        async def finish(conn: Conn, outcome: DecisionOutcome) -> DecisionReceipt:
            shown = receipt(context, outcome, caller.company)
            if key is not None:
                await key.keep(conn, 201, shown.model_dump_json().encode())
            return shown

        async with throttle.decision(caller, command.subject.ref, is_no=command.is_no):
            with answered():
                shown = await receive(context, command, finish)
        body = shown.once_committed(context.clock()).model_dump_json()
        headers = {"Location": f"/consents/decisions/{shown.decision}"}
        return Response(body, 201, headers, media_type="application/json")

    @routes.get("/{ident}", response_model=ShownDecision)
    async def get(ident: Ident, caller: Reader) -> ShownDecision:
        """A decision as it was given; a company's token reads what it brought itself, by its reference (64 hex digits)
        or by the id under which it sent it on its topic."""
        with answered():
            found = await read_decision(context, decision_asked(context, caller, ident), caller.party)
        return ShownDecision.of(found, lambda known: context.named(caller.party, known))

    @routes.get("/{ident}/whereabouts", response_model=WhereaboutsBody)
    async def whereabouts(ident: Ident, caller: Reader) -> WhereaboutsBody:
        """Which subscriber has applied it, since when, and who is late."""
        decision = decision_asked(context, caller, ident)
        with answered():
            found = await locate(context, decision, caller.party)
        everywhere = all(location.stage in (Stage.APPLIED, Stage.HELD) for location in found)
        return WhereaboutsBody(
            decision=context.named(caller.party, decision), everywhere=everywhere, subscribers=found
        )

    return routes
