"""Bodies of answers: a customer as the caller may see it."""

from datetime import date
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.events.words import PointKind, Recipient
from services.customers.model import addresses
from services.customers.model.customer import GROUP, Customer, Customership, Point
from services.customers.model.given import Address
from services.customers.store.reading import Alias, Stored
from services.customers.use_cases.register import Outcome


class Receipt(BaseModel):
    """`created`, or `changed` and `unchanged` where the identity code was known already. Names no person."""

    id: UUID
    status: str
    revision: int = Field(description="Also the entity tag.")

    @classmethod
    def of(cls, outcome: Outcome) -> "Receipt":
        return cls.model_validate(outcome, from_attributes=True)


class SaleBody(BaseModel):
    seller: str
    date: date
    product_group: str
    ban_offered: bool


class PointBody(BaseModel):
    """`value` of e-mail and phone, `address` of post; an address under a safety ban is not shown."""

    id: UUID
    kind: PointKind
    value: str | None
    address: Address | None
    role_address: bool
    sales: list[SaleBody]


class DutyBody(BaseModel):
    product_group: str
    evidence: str


class CustomershipBody(BaseModel):
    company: str
    number: str
    since: date | None
    ended: date | None


class SourceBody(BaseModel):
    source: str
    at: str


class CustomerBody(BaseModel):
    """An identity code is never shown, only whether it is known (Data Protection Act section 29)."""

    id: UUID
    alias_of: UUID | None = Field(
        default=None, description="Whom this customer was merged into; nothing else is kept of it."
    )
    recipient: Recipient
    name: str | None = None
    language: str | None = None
    identity_code_known: bool = False
    business_id: str | None = None
    birth_date: date | None = None
    minor: bool = False
    deceased: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    duties: list[DutyBody] = []
    points: list[PointBody] = []
    customerships: list[CustomershipBody] = []
    sources: dict[str, SourceBody] = Field(
        default={}, description="By field: who stated its value, and when."
    )

    @classmethod
    def of(cls, stored: Stored | Alias, scope: str | None) -> "CustomerBody":
        """`scope`: the caller's company, which sees its own customerships and sales, and of a former
        customer nothing but its own numbers; None: the whole group.
        """
        if isinstance(stored, Alias):
            return cls(id=stored.id, alias_of=stored.survivor, recipient=stored.recipient)
        customer = stored.customer
        own = [_customership(c) for c in customer.customerships if scope in (None, c.company)]
        if scope is not None and not customer.active_in(scope):
            return cls(id=customer.id, recipient=customer.recipient, customerships=own)
        return cls(
            id=customer.id,
            recipient=customer.recipient,
            name=customer.name,
            language=customer.language,
            identity_code_known=customer.identity is not None,
            business_id=customer.business_id,
            birth_date=customer.birth_date,
            minor=customer.minor,
            deceased=customer.deceased,
            safety_ban=customer.safety_ban,
            organisation=customer.organisation,
            duties=[DutyBody(product_group=d.product_group, evidence=d.evidence) for d in customer.duties],
            points=[_point(p, customer, scope) for p in customer.points],
            customerships=own,
            sources={
                field: SourceBody(source=s.source, at=s.at)
                for field, s in customer.sources.items()
                if scope is None or s.source in (scope, GROUP)
            },
        )


class Found(BaseModel):
    items: list[CustomerBody] = Field(description="One customer, or none.")


def _customership(of: Customership) -> CustomershipBody:
    return CustomershipBody(company=of.company, number=of.number, since=of.since, ended=of.ended)


def _point(point: Point, customer: Customer, scope: str | None) -> PointBody:
    post = point.kind is PointKind.POST
    return PointBody(
        id=point.id,
        kind=point.kind,
        value=None if post else point.value,
        address=addresses.from_text(point.value) if post and not customer.safety_ban else None,
        role_address=point.role_address,
        sales=[
            SaleBody.model_validate(s, from_attributes=True) for s in point.sales if scope in (None, s.seller)
        ],
    )
