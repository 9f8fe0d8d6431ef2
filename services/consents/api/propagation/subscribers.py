"""The status of subscribers: what each has applied, how late it is, and what reconciliation found in its stores."""

from fastapi import APIRouter
from pydantic import BaseModel

from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Prover, Reader
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.instances import ReconciliationStatus, reconciliation_status
from services.consents.use_cases.propagation.overdue import SubscriberStatus, statuses


class SubscribersBody(BaseModel):
    subscribers: list[SubscriberStatus]


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["subscribers"])

    @routes.get("/subscribers", response_model=SubscribersBody)
    async def get(caller: Reader) -> SubscribersBody:
        """All of the group, or the company's own for a company's token."""
        return SubscribersBody(subscribers=await statuses(context, caller.party))

    @routes.get("/reconciliation", response_model=ReconciliationStatus)
    async def reconciliation(caller: Prover) -> ReconciliationStatus:
        """Of all subscribers, or of the company's own for a company's token."""
        return await reconciliation_status(context, caller.party)

    return routes
