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
    ActionStep,
    AllHeld,
    OfficerOrder,
    act_on_some,
    list_held,
)

_EVER = datetime(1, 1, 2, tzinfo=UTC)


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


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["decisions"])

    @routes.get("/held", response_model=AllHeld)
    async def get(caller: Officer) -> AllHeld:  # noqa: ARG001 - who may ask
        """The parties that have held decisions: *no*s about others' people above the party's rate."""
        return await list_held(context)

    @routes.post("/held/release", response_model=ActionStep)
    async def release(order: OrderBody, caller: Officer) -> ActionStep:
        """Let decisions that are held take effect as they were given."""
        return await act_on_some(context, _order(OfficerAction.RELEASED, order, caller))

    @routes.post("/held/void", response_model=ActionStep)
    async def void(order: OrderBody, caller: Officer) -> ActionStep:
        """Void what the party said no to about people who are none of its own, held or not. What the same people said
        otherwise holds; so do decisions about the party's own people."""
        return await act_on_some(context, _order(OfficerAction.VOIDED, order, caller))

    return routes


def _order(mark: OfficerAction, given: OrderBody, caller: Caller) -> OfficerOrder:
    return OfficerOrder(mark, given.party, given.since or _EVER, caller.subject, given.reason)
