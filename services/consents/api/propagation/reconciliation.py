"""What reconciliation found in the stores of subscribers."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Prover
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.reconciliation_status import reconciliation_status


class StoreBody(BaseModel):
    subscriber: str
    asked_at: datetime | None = Field(description="When the subscriber was last asked.")
    instance: UUID | None = Field(
        description="Null: no store of the subscriber has answered in the last week."
    )
    answered_at: datetime | None
    compared: int | None = Field(description="Buckets that were compared, of 1024.")
    left_out: int | None = Field(description="Buckets left out because a record in them was on its way.")
    differing: int | None


class DifferenceBody(BaseModel):
    subscriber: str
    instance: UUID
    key: str = Field(description="The party's id of the customer, or its first 24 digits.")
    kind: str = Field(description="missing, extra, older, newer, unreadable or content.")
    theirs: str | None = Field(description="The store's version; null: it lacks the record.")
    ours: str | None = Field(description="Our version; null: we have no such record.")
    found_at: datetime
    repaired_at: datetime | None = Field(
        description="When it was published again; null: publishing cannot repair it."
    )


class ReconciliationBody(BaseModel):
    stores: list[StoreBody]
    differences: list[DifferenceBody] = Field(description="Open differences, the oldest first; at most 1000.")


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents/reconciliation", tags=["subscribers"])

    @routes.get("", response_model=ReconciliationBody)
    async def get(caller: Prover) -> ReconciliationBody:
        """Of all subscribers, or of the company's own for a company's token."""
        found = await reconciliation_status(context, caller.party)
        return ReconciliationBody(
            stores=[StoreBody(**one._asdict()) for one in found.stores],
            differences=[DifferenceBody(**one._asdict()) for one in found.differences],
        )

    return routes
