"""Addresses that many customers have, for the group's data protection officer or operator."""

from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field

from kielto.service.http.strict_route import StrictRoute
from services.consents.api.callers import Prover
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.shared_addresses import shared_addresses


class SharedAddressBody(BaseModel):
    fingerprint: str = Field(description="The same in every answer; says nothing about the address.")
    customers: int
    some: list[UUID] = Field(description="Up to five of the customers who have it.")


class SharedAddressesBody(BaseModel):
    addresses: list[SharedAddressBody] = Field(description="The most shared first, at most 1000.")


def router(context: Context) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/consents", tags=["customers"])

    @routes.get("/shared-addresses", response_model=SharedAddressesBody)
    async def get(caller: Prover) -> SharedAddressesBody:
        """E-mail addresses and phone numbers that more than 100 customers have. A decision about one is taken at once
        and takes effect in portions. Most are placeholders of a source system: have them corrected there."""
        caller.must_act_for(None)
        found = await shared_addresses(context)
        return SharedAddressesBody(addresses=[SharedAddressBody(**one._asdict()) for one in found])

    return routes
