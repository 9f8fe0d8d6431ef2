"""A small group, and how a test says something of a customer."""

import json
from datetime import UTC, date, datetime
from itertools import count
from typing import Any
from uuid import UUID

from kielto.group import Company, Controller, Group
from services.customers.model.changing import Meant, Moment, apply
from services.customers.model.customer import RegisteredCustomer
from services.customers.model.draft import Draft, Speaker, Terms
from services.customers.model.given import CustomerPatch, GivenCustomer, GivenRow
from services.customers.model.problems import CustomerRefusedError
from services.customers.model.reading import read_customer, read_row

TODAY = date(2026, 6, 15)
MOMENT = Moment(datetime(2026, 6, 15, 12, tzinfo=UTC), TODAY, 18)
TERMS = Terms(
    Group(
        revision=1,
        controller=Controller(name="x", business_id="9912345-6", contact="x"),
        companies=(
            Company(id="kauppa", name="Kauppa", product_groups=("groceries", "household")),
            Company(id="sahko", name="Sahko", country="SE", product_groups=("solar",)),
        ),
    )
)
NEW = RegisteredCustomer(UUID(int=1))


def said(company: str | None = None, **fields: Any) -> Draft:
    """What a caller says over HTTP to change a customer."""
    given = CustomerPatch.model_validate_json(json.dumps(fields))
    return read_customer(given, Speaker(company), TERMS, TODAY)


def created(company: str | None = None, **fields: Any) -> Draft:
    """What a caller says over HTTP to create one."""
    given = GivenCustomer.model_validate_json(json.dumps(fields))
    return read_customer(given, Speaker(company), TERMS, TODAY)


def row(company: str = "kauppa", scope: str | None = None, **fields: Any) -> Draft:
    """What a row of an import says."""
    given = GivenRow.model_validate_json(json.dumps({"number": "1", **fields}))
    return read_row(given, company, scope, TERMS, TODAY)


def after(
    old: RegisteredCustomer,
    draft: Draft,
    company: str | None = None,
    *,
    importing: bool = False,
    **found: Any,
) -> RegisteredCustomer:
    numbers = count(100 + len(old.points))
    return apply(
        old,
        draft,
        Speaker(company, importing=importing),
        MOMENT,
        new_id=lambda: UUID(int=next(numbers)),
        meant=Meant(found.get("identity"), found.get("organisation"), found.get("person")),
    )


def fields_of(refused: CustomerRefusedError) -> list[str]:
    return [p.field for p in refused.problems]
