"""The status of subscribers: what each has applied, how late it is, and what reconciliation found in its stores."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Prover, Reader
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.instances import ReconciliationStatus, reconciliation_status
from services.consents.use_cases.propagation.whereabouts import SubscriberStatus, statuses


class SubscriberBody(BaseModel):
    id: str
    party: str
    name: str
    deadline_seconds: float
    seen_at: datetime | None = Field(description="When the broker appended its last acknowledgement.")
    stores: int = Field(description="Live stores; the slowest one counts. 0: it was never seen.")
    late_seconds: float = Field(
        description="Age of the oldest record that it lacks; 0: none, -1: never seen."
    )
    exceptions: int = Field(description="Records that a store of it could not read.")
    overdue: int = Field(
        description="Decisions that it has not applied by its deadline, of the oldest 5000 records that it lacks "
        "in each partition."
    )
    claims_beyond_end: int = Field(
        description="Positions that its instances acknowledged beyond the end of their topic. They count up to the "
        "end; an instance that is ended takes its claims with it."
    )

    @classmethod
    def of(cls, status: SubscriberStatus) -> "SubscriberBody":
        subscriber, state, late_seconds = status
        named = {name: getattr(subscriber, name) for name in ("id", "party", "name", "deadline_seconds")}
        return cls(**named, **state._asdict(), late_seconds=late_seconds)


class SubscribersBody(BaseModel):
    subscribers: list[SubscriberBody]


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["subscribers"])

    @routes.get("/subscribers", response_model=SubscribersBody)
    async def get(caller: Reader) -> SubscribersBody:
        """All of the group, or the company's own for a company's token."""
        found = await statuses(context, caller.party)
        return SubscribersBody(subscribers=[SubscriberBody.of(one) for one in found])

    @routes.get("/reconciliation", response_model=ReconciliationStatus)
    async def reconciliation(caller: Prover) -> ReconciliationStatus:
        """Of all subscribers, or of the company's own for a company's token."""
        return await reconciliation_status(context, caller.party)

    return routes
