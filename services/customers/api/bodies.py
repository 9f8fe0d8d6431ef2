"""Bodies: a customer as the caller may see it (`entitlement`), and what else is given and answered."""

from collections.abc import Callable
from dataclasses import fields
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

from kielto.events.words import PointKind, Recipient
from services.customers.model import addresses, entitlement
from services.customers.model.customer import CustomerAlias, Facts, StoredCustomer
from services.customers.model.entitlement import SeenCustomer, SeenPoint
from services.customers.model.given import Address, Day, Number
from services.customers.use_cases.register import RegistrationOutcome

Give = Callable[[UUID], str]
"""An id as the caller knows it."""

_ID = Field(description="For callers of a company its own id of the customer (64 hex digits), else a UUID.")


def _as_known(ident: UUID | None, info: ValidationInfo) -> str | None:
    """The context of the validation is the caller's Give."""
    give: Give | None = info.context
    assert give is not None
    return None if ident is None else give(ident)


CustomerId = Annotated[str, BeforeValidator(_as_known)]
MaybeCustomerId = Annotated[str | None, BeforeValidator(_as_known)]


class _RegisterBody(BaseModel):
    """Made from the model's own shapes."""

    model_config = ConfigDict(from_attributes=True)


class End(BaseModel):
    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"number": "1001", "ended": "2026-03-31"}]}
    )

    ended: Day | None = Field(
        default=None, description="The last day; default: today. Must not be in the future."
    )
    number: Number | None = Field(
        default=None, description="End only this customership; default: all in the company."
    )


class Into(BaseModel):
    model_config = ConfigDict(extra="forbid")

    into: UUID = Field(description="The survivor. For an alias: the customer it was merged into.")


class Apart(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"reason": "father and son of one name; both were asked"}]},
    )

    reason: str = Field(
        min_length=1, max_length=500, description="Why these are different people. It is stored."
    )


class Receipt(BaseModel):
    """`created`, or `changed` and `unchanged` where the caller's company stated the identity code before. Names no
    person.
    """

    id: str = _ID
    status: str
    revision: int = Field(description="Also the entity tag.")

    @classmethod
    def of(cls, outcome: RegistrationOutcome, give: Give) -> "Receipt":
        assert outcome.id is not None
        assert outcome.revision is not None
        return cls(id=give(outcome.id), status=outcome.status, revision=outcome.revision)


class SaleBody(_RegisterBody):
    seller: str
    date: date
    product_group: str
    ban_offered: bool


class PointBody(_RegisterBody):
    """`value` for e-mail and phone, `address` for post. An address under a safety ban is not shown."""

    id: CustomerId
    kind: PointKind
    value: str | None
    address: Address | None
    role_address: bool
    sales: list[SaleBody]


class DutyBody(_RegisterBody):
    product_group: str
    evidence: str


class CustomershipBody(_RegisterBody):
    company: str
    number: str
    since: date | None
    ended: date | None


class SourceBody(_RegisterBody):
    source: str
    at: str


class TakenBackBody(_RegisterBody):
    field: str
    stated_by: list[str]
    reason: str
    at: str


class StatementBody(_RegisterBody):
    """What one source states; only for callers for the whole group."""

    source: str
    recipient: Recipient | None
    name: str | None
    language: str | None
    identity_code_known: bool
    business_id: str | None
    birth_date: date | None
    deceased: bool
    safety_ban: bool
    organisation: MaybeCustomerId
    person: MaybeCustomerId
    duties: list[DutyBody]
    taken_back: list[TakenBackBody]


class CustomerBody(_RegisterBody):
    """An identity code is never shown, only whether it is known (Data Protection Act section 29). A company sees what
    it states itself and what the group does; of a former customer its own numbers alone.
    """

    id: CustomerId = _ID
    alias_of: MaybeCustomerId = Field(
        default=None,
        description="The customer that this one was merged into; then all other fields are empty.",
    )
    recipient: Recipient | None = None
    name: str | None = None
    language: str | None = None
    identity_code_known: bool = False
    business_id: str | None = None
    birth_date: date | None = None
    minor: bool = False
    deceased: bool = False
    safety_ban: bool = False
    organisation: MaybeCustomerId = None
    person: MaybeCustomerId = Field(
        default=None, description="The natural person that this contact person is."
    )
    duties: list[DutyBody] = []
    points: list[PointBody] = []
    customerships: list[CustomershipBody] = []
    sources: dict[str, SourceBody] = Field(
        default={}, description="By field: who stated its value, and when."
    )
    statements: list[StatementBody] = Field(
        default=[], description="By source; only for callers for the whole group."
    )

    @classmethod
    def of(cls, stored: StoredCustomer | CustomerAlias, scope: str | None, give: Give) -> "CustomerBody":
        """`scope`: the caller's company; None: the whole group."""
        if isinstance(stored, CustomerAlias):
            return cls.model_validate({"id": stored.id, "alias_of": stored.survivor}, context=give)
        seen = entitlement.seen_by(stored.customer, scope)
        parts = {
            "points": [_point(point) for point in seen.points],
            "sources": {field: SourceBody(source=source, at=at) for field, source, at in seen.sources},
            "statements": [_statement(source, facts) for source, facts in seen.statements],
        }
        return cls.model_validate(_values(seen) | parts, context=give)


class Found(BaseModel):
    items: list[CustomerBody] = Field(description="One customer, or none.")


class CandidateBody(_RegisterBody):
    """Two customers who may be one. `bound`: a no of either binds the other meanwhile."""

    one: UUID
    other: UUID
    reason: str = Field(description="What they have in common: `identifier` or `contact_point`.")
    bound: bool


class CandidatesBody(_RegisterBody):
    items: list[CandidateBody]
    next: str | None = Field(description="`after` for the next page; null on the last page.")


class ContradictionBody(_RegisterBody):
    """A refused row: it names `customer` by an identifier, and says otherwise of them in `fields`."""

    id: UUID
    customer: UUID
    source: str
    number: str | None = Field(description="The customer number in the row.")
    fields: list[str]


class ContradictionsBody(_RegisterBody):
    items: list[ContradictionBody]
    next: UUID | None = Field(description="`after` for the next page; null on the last page.")


class UnreadableBody(BaseModel):
    kind: PointKind
    source: str = Field(description="The company that gave it.")
    rule: str = Field(description="The rule that it breaks.")
    value: object = Field(description="As it was given: text, or a postal address.")


class UnreadableList(BaseModel):
    items: list[UnreadableBody]


def _values(of: SeenCustomer | SeenPoint | Facts) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(of)}


def _point(point: SeenPoint) -> dict[str, Any]:
    post = point.kind is PointKind.POST
    address = addresses.from_text(point.value) if post and point.value else None
    return _values(point) | {"value": None if post else point.value, "address": address}


def _statement(source: str, facts: Facts) -> dict[str, Any]:
    return _values(facts) | {"source": source, "identity_code_known": facts.identity is not None}
