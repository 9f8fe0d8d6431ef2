"""Breaches: a data protection officer looks at each and says why it happened."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from kielto.service.http.auth import Caller
from kielto.service.http.strict_route import Note, StrictRoute
from services.consents.api.callers import Behind, Limit, Officer, Prover, cursor_behind, place_of
from services.consents.api.problems import answered
from services.consents.model.breach import Breach
from services.consents.use_cases.breaches import close_breach, get_breach, list_breaches
from services.consents.use_cases.context import Context

State = Literal["open", "explained", "closed"]
_TAG = b"breaches"


class WhereBody(BaseModel):
    decision: str
    subscriber: str
    applied_at: datetime | None
    applied: bool = Field(
        description="Whether every live store of the subscriber had the decision when the message was sent."
    )


class BreachBody(BaseModel):
    id: UUID = Field(description="The delivery's id.")
    company: str
    partner: str | None
    campaign: UUID | None
    customer: str = Field(description="A company's token sees its own id of the customer.")
    channel: str
    point: UUID | None = Field(
        description="The contact point that was used, where the report named it; a company's token sees none."
    )
    purpose: str | None
    claimed_at: datetime = Field(description="When it was sent, by the sender's clock.")
    reported_at: datetime = Field(description="When the broker appended the report: it was sent by then.")
    bound_seconds: float = Field(description="How many seconds after a ban the sender may still send.")
    decisions: list[str]
    subscribers: list[WhereBody]
    clearance: UUID | None
    state: State
    note: str | None
    opened_at: datetime
    changed_at: datetime | None


class BreachesBody(BaseModel):
    breaches: list[BreachBody] = Field(description="The oldest first.")
    next: str | None = Field(description="`after` of the next page; null on the last page.")


class SettleBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"state": "explained", "note": "a test call to our own number"}]},
    )
    state: Literal["explained", "closed"]
    note: Note = Field(description="The reason, without personal data.")


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents/breaches", tags=["proof"])

    def shown(breach: Breach, caller: Caller) -> BreachBody:
        whose = caller.party
        delivery, evidence = breach.delivery, breach.evidence
        assert delivery.customer is not None  # a stranger's delivery is not compared
        fields = delivery._asdict() | evidence._asdict() | breach._asdict()
        fields |= {
            "point": None if whose else evidence.point,
            "customer": context.named(whose, delivery.customer),
            "decisions": [context.named(whose, decision) for decision in evidence.decisions],
            "subscribers": [
                w | {"decision": context.named(whose, UUID(w["decision"]))} for w in evidence.subscribers
            ],
        }
        return BreachBody.model_validate(fields)

    @routes.get("", response_model=BreachesBody)
    async def get(
        caller: Prover,
        state: Annotated[State | None, Query()] = None,
        after: Behind = None,
        limit: Limit = 1000,
    ) -> BreachesBody:
        """All breaches of the group, or the company's own for a company's token."""
        begin = place_of(context, _TAG, after)
        found = await list_breaches(context, caller.company, state, begin, limit)
        last = (found[-1].opened_at, found[-1].delivery.id) if len(found) == limit else None
        return BreachesBody(
            breaches=[shown(one, caller) for one in found],
            next=cursor_behind(context, _TAG, last) if last else None,
        )

    @routes.get("/{ident}", response_model=BreachBody)
    async def show(ident: UUID, caller: Prover) -> BreachBody:
        with answered():
            return shown(await get_breach(context, caller.company, ident), caller)

    @routes.post("/{ident}/close", response_model=BreachBody)
    async def close(ident: UUID, body: SettleBody, caller: Officer) -> BreachBody:
        """`explained`: it was no breach after all. `closed`: it was one, and is dealt with."""
        with answered():
            said = (body.state, body.note, caller.subject)
            return shown(await close_breach(context, caller.company, ident, *said), caller)

    return routes
