"""Create, read, find, change and merge customers; end a customership; list what of an import could not be read."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Body, Header, Path, Query, Response

from kielto.events.base import Ident
from kielto.service.http.if_match import revisions
from kielto.service.http.strict_route import StrictRoute
from kielto.validation import FieldRule
from services.customers.api import examples
from services.customers.api.bodies import (
    CustomerBody,
    End,
    Found,
    Into,
    Receipt,
    UnreadableBody,
    UnreadableList,
)
from services.customers.api.callers import CallerIds, Key, Reader, Writer, answered, canonical, invalid
from services.customers.model.customer import CustomerAlias, StoredCustomer
from services.customers.model.draft import Speaker
from services.customers.model.given import CustomerPatch, GivenCustomer, Number
from services.customers.model.reading import read_customer
from services.customers.use_cases import merge as merging
from services.customers.use_cases import read as reading
from services.customers.use_cases import update as changing
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.register import Registration, RegistrationOutcome

Ref = Annotated[
    str,
    Path(max_length=64, description="The company's own id of the customer; for the whole group its UUID."),
]


def router(context: CustomersContext) -> APIRouter:
    routes = APIRouter(route_class=StrictRoute, prefix="/customers", tags=["customers"])

    @routes.post("", status_code=201, response_model=Receipt, responses={200: {"model": Receipt}})
    async def post(
        given: Annotated[GivenCustomer, Body(openapi_examples=examples.CREATE)], caller: Writer, key: Key
    ) -> Response:
        """Create a customer. The answer is 200 instead of 201 if the same company (or the group, when it calls) stated
        the identity code or business id before: then that customer gets the new customership. What others stated is
        not considered.
        """
        if caller.company and not given.customerships:
            raise invalid([FieldRule("customerships", "must include one in the caller's company")])
        with answered():
            who = Speaker(caller.company)
            draft = read_customer(given, who, context.terms, context.moment().today)
            names = CallerIds(context.keys, caller)
            entry = Registration(draft, who, scope=caller.company)
            outcome = await changing.create(context, entry, key, lambda outcome: _receipt(outcome, names))
        status, body = _receipt(outcome, names)
        receipt = Receipt.of(outcome, names.give)
        headers = {"Location": f"/customers/{receipt.id}", "ETag": f'"{receipt.revision}"'}
        return Response(body, status, headers, media_type="application/json")

    @routes.get("", response_model=Found)
    async def find(
        company: Annotated[Ident, Query()], number: Annotated[Number, Query()], caller: Reader
    ) -> Found:
        """Find the customer that a company knows under this number."""
        caller.must_act_for(company)
        with answered():
            stored = await reading.find(context, canonical(company, number))
        give = CallerIds(context.keys, caller).give
        return Found(items=[CustomerBody.of(stored, caller.company, give)] if stored else [])

    @routes.get("/{ident}", response_model=CustomerBody)
    async def get(ident: Ref, caller: Reader) -> Response:
        """Read one customer; `ETag` is its revision. A merged customer names its survivor in `alias_of`."""
        with answered():
            names = CallerIds(context.keys, caller)
            stored = await reading.read(context, names.take(ident), caller.company)
        return _answer(stored, names)

    @routes.patch("/{ident}", response_model=CustomerBody)
    async def patch(
        ident: Ref,
        given: Annotated[CustomerPatch, Body(openapi_examples=examples.CHANGE)],
        caller: Writer,
        if_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Change the named fields; null clears a field (RFC 7396). `points` and `duties` replace the whole list: the
        final one for the group, the company's own for a company. `customerships` are added or changed by number. A
        company changes what it states itself; with a `reason` the group takes back a death, minority, safety ban or
        end that a company states. `If-Match` is required.
        """
        seen = revisions(if_match)
        with answered():
            who = Speaker(caller.company)
            names = CallerIds(context.keys, caller)
            draft = read_customer(given, who, context.terms, context.moment().today)
            stored = await changing.change(context, names.take(ident), draft, who, seen)
        return _answer(stored, names)

    @routes.post("/{ident}/customerships/{company}/end", response_model=CustomerBody)
    async def end(
        ident: Ref, company: Ident, caller: Writer, ending: Annotated[End | None, Body()] = None
    ) -> Response:
        """End a customership: this company's marketing stops. Idempotent."""
        caller.must_act_for(company)
        ending = ending or End()
        with answered():
            names = CallerIds(context.keys, caller)
            number = ending.number and canonical(company, ending.number)
            stored = await changing.end(
                context, names.take(ident), company, number, ending.ended, Speaker(caller.company)
            )
        return _answer(stored, names)

    @routes.post("/{ident}/merge", response_model=CustomerBody)
    async def merge(
        ident: Ref, given: Annotated[Into, Body(openapi_examples=examples.MERGE)], caller: Writer
    ) -> Response:
        """Merge this customer into another one: both are one person or one organisation. The survivor gets everything
        that this customer had and is returned; this customer stays as its alias. Whatever either had banned binds
        both. Only for callers for the whole group. Idempotent; it cannot be undone.
        """
        caller.must_act_for(None)
        with answered():
            names = CallerIds(context.keys, caller)
            stored = await merging.merge(context, names.take(ident), given.into)
        return _answer(stored, names)

    @routes.get("/{ident}/unreadable", response_model=UnreadableList)
    async def get_unreadable(ident: Ref, caller: Reader) -> UnreadableList:
        """Contact points of imports that could not be read, as they were given; a company sees its own. They are
        used for nothing; a new import of the customer replaces them.
        """
        with answered():
            customer = CallerIds(context.keys, caller).take(ident)
            kept = await reading.read_unreadable(context, customer, caller.company)
        return UnreadableList(
            items=[UnreadableBody(**k._asdict() | {"value": orjson.loads(k.value)}) for k in kept]
        )

    return routes


def _receipt(outcome: RegistrationOutcome, names: CallerIds) -> tuple[int, bytes]:
    body = Receipt.of(outcome, names.give).model_dump_json().encode()
    return (201 if outcome.status == "created" else 200), body


def _answer(stored: StoredCustomer | CustomerAlias, names: CallerIds) -> Response:
    body = CustomerBody.of(stored, names.company, names.give).model_dump_json()
    tag = f'"{stored.revision(names.company)}"'
    return Response(body, headers={"ETag": tag}, media_type="application/json")
