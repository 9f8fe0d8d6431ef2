"""List contact points of imports that could not be read, as they were given; a company sees its own. They are not used
for anything; a new import of the customer replaces them.
"""

import orjson
from fastapi import APIRouter
from pydantic import BaseModel, Field

from kielto.events.words import PointKind
from kielto.service.http.strict_route import StrictRoute
from services.customers.api.callers import Reader, answered
from services.customers.api.customers import Ref
from services.customers.api.identity import CallerIds
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.imports.read_unreadable import read_unreadable


class UnreadableBody(BaseModel):
    kind: PointKind
    source: str = Field(description="The company that gave it.")
    rule: str = Field(description="The rule that it breaks.")
    value: object = Field(description="As it was given: text, or a postal address.")


class UnreadableList(BaseModel):
    items: list[UnreadableBody]


def router(context: CustomersContext) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/customers", tags=["customers"])

    @routes.get("/{ident}/unreadable", response_model=UnreadableList)
    async def get(ident: Ref, caller: Reader) -> UnreadableList:
        """Contact points of imports that could not be read, as they were given; a company sees its own. They are
        used for nothing; a new import of the customer replaces them.
        """
        with answered():
            customer = CallerIds.of(context.keys, caller).take(ident)
            kept = await read_unreadable(context, customer, caller.company)
        return UnreadableList(
            items=[UnreadableBody(**k._asdict() | {"value": orjson.loads(k.value)}) for k in kept]
        )

    return routes
