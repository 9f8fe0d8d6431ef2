"""Results of the messages on a company's decisions topic, for a company that does not read its results topic."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from kielto.events.results import DecisionResult
from kielto.service.http import cursors
from kielto.service.http.auth import Caller, RoleCheck
from kielto.service.http.problem import ProblemError
from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Limit
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.results import list_results

Company = Annotated[Caller, Depends(RoleCheck("desk", "campaigns", "dpo"))]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the previous page.")]

EXAMPLE: JsonDict = {
    "results": [
        {
            "id": "018f4e1c-6c1b-7d52-8a55-3f0c9d1f2a77",
            "partition": 3,
            "offset": 1041,
            "status": "widened",
            "decision": "5e" * 32,
            "reasons": [{"field": "partner", "rule": "must be a partner of the group"}],
            "at": "2026-01-15T09:30:00Z",
        }
    ],
    "next": "c2VhbGVk",
}


class ResultsBody(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    results: list[DecisionResult] = Field(description="As on the results topic, oldest first.")
    next: str | None = Field(description="Send it as `cursor` for later results; null: there are none yet.")


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents/results", tags=["decisions"])

    @routes.get("", response_model=ResultsBody, response_model_exclude_none=False)
    async def get(caller: Company, cursor: Cursor = None, limit: Limit = 100) -> ResultsBody:
        """What became of the decisions that the company sent on its topic, kept for 37 days. A page may be empty: ask
        again later with the same cursor."""
        whose = caller.party
        if whose is None:
            raise ProblemError(403, "company-needed", "Only a company's token may read results")
        after = cursors.take(context.keys, whose, cursor) if cursor else 0
        found = await list_results(context, whose, after, limit)
        end = cursors.give(context.keys, whose, found[-1].n) if found else cursor
        return ResultsBody(results=[kept.result for kept in found], next=end)

    return routes
