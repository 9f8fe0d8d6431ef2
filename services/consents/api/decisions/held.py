"""A party's *no*s about people who are none of its own: list held ones, release or void them."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kielto.events.base import Moment
from kielto.service.http.auth import Caller
from kielto.service.http.strict_route import Note, StrictRoute
from services.consents.api.callers import Officer
from services.consents.model.decisions import OfficerAction
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.release_or_void import (
    AT_ONCE,
    ActionStep,
    OfficerOrder,
    act_on_some,
    list_held,
)

_EVER = datetime(1, 1, 2, tzinfo=UTC)


class HeldBody(BaseModel):
    party: str = Field(examples=["partner.matkat"])
    held: int
    first_at: datetime = Field(description="When the first of them was received.")
    last_at: datetime


class AllHeldBody(BaseModel):
    parties: list[HeldBody] = Field(description="Parties that have held decisions.")


class OrderBody(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"party": "partner.matkat", "reason": "its token was stolen: ticket 4711"}]
        },
    )
    party: Annotated[str, StringConstraints(pattern=r"^(company|partner)\.[a-z0-9_-]{1,60}$")]
    since: Moment | None = Field(
        default=None, description="Only decisions received at this time or later; default: all."
    )
    reason: Note = Field(description="The reason, without personal data.")


class MarkedBody(BaseModel):
    marked: int = Field(
        description=f"How many decisions, at most {AT_ONCE}; 0 while earlier ones are being computed."
    )
    more: bool = Field(description="There may be more of them: repeat the request after a second.")


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["decisions"])

    @routes.get("/held", response_model=AllHeldBody)
    async def get(caller: Officer) -> dict[str, object]:  # noqa: ARG001 - who may ask
        """The parties that have held decisions: *no*s about others' people above the party's rate."""
        return {"parties": await list_held(context)}

    @routes.post("/held/release", response_model=MarkedBody)
    async def release(order: OrderBody, caller: Officer) -> ActionStep:
        """Let decisions that are held take effect as they were given."""
        return await act_on_some(context, _order(OfficerAction.RELEASED, order, caller))

    @routes.post("/held/void", response_model=MarkedBody)
    async def void(order: OrderBody, caller: Officer) -> ActionStep:
        """Void what the party said no to about people who are none of its own, held or not. What the same people said
        otherwise holds; so do decisions about the party's own people."""
        return await act_on_some(context, _order(OfficerAction.VOIDED, order, caller))

    return routes


def _order(mark: OfficerAction, given: OrderBody, caller: Caller) -> OfficerOrder:
    return OfficerOrder(mark, given.party, given.since or _EVER, caller.subject, given.reason)
