"""Bodies: a customer as the caller may see it (`entitlement`), and what else is given and answered."""

from collections.abc import Callable
from datetime import date
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from kielto.events.digests import InvalidContactPointError, normalise
from kielto.events.words import PointKind, Recipient
from services.customers.model import addresses, entitlement
from services.customers.model.customer import CustomerAlias, Customership, Facts, StoredCustomer
from services.customers.model.entitlement import SeenPoint
from services.customers.model.given import Address, Day, Number
from services.customers.model.linking import Candidate, Contradiction
from services.customers.model.problems import BrokenRule, CustomerRefusedError
from services.customers.use_cases.customers.register import RegistrationOutcome

Give = Callable[[UUID], str]
"""An id as the caller knows it."""

_ID = Field(description="For callers of a company its own id of the customer (64 hex digits), else a UUID.")


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

    def canonical(self, company: str) -> str | None:
        """Raises CustomerRefusedError."""
        try:
            return self.number and normalise(PointKind.NUMBER, f"{company}:{self.number}")
        except InvalidContactPointError:
            raise CustomerRefusedError([BrokenRule("number", "must be a customer number")]) from None


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


class SaleBody(BaseModel):
    seller: str
    date: date
    product_group: str
    ban_offered: bool


class PointBody(BaseModel):
    """`value` for e-mail and phone, `address` for post. An address under a safety ban is not shown."""

    id: str
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


class TakenBackBody(BaseModel):
    field: str
    stated_by: list[str]
    reason: str
    at: str


class StatementBody(BaseModel):
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
    organisation: str | None
    person: str | None
    duties: list[DutyBody]
    taken_back: list[TakenBackBody]


class CustomerBody(BaseModel):
    """An identity code is never shown, only whether it is known (Data Protection Act section 29). A company sees what
    it states itself and what the group does; of a former customer its own numbers alone.
    """

    id: str = _ID
    alias_of: str | None = Field(
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
    organisation: str | None = None
    person: str | None = Field(default=None, description="The natural person that this contact person is.")
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
            return cls(id=give(stored.id), alias_of=give(stored.survivor))
        seen = entitlement.seen_by(stored.customer, scope)
        return cls(
            id=give(seen.id),
            recipient=seen.recipient,
            name=seen.name,
            language=seen.language,
            identity_code_known=seen.identity_code_known,
            business_id=seen.business_id,
            birth_date=seen.birth_date,
            minor=seen.minor,
            deceased=seen.deceased,
            safety_ban=seen.safety_ban,
            organisation=give(seen.organisation) if seen.organisation else None,
            person=give(seen.person) if seen.person else None,
            duties=[DutyBody(product_group=d.product_group, evidence=d.evidence) for d in seen.duties],
            points=[_point(p, give) for p in seen.points],
            customerships=[_customership(c) for c in seen.customerships],
            sources={field: SourceBody(source=source, at=at) for field, source, at in seen.sources},
            statements=[_statement(source, facts, give) for source, facts in seen.statements],
        )


class Found(BaseModel):
    items: list[CustomerBody] = Field(description="One customer, or none.")


class CandidateBody(BaseModel):
    """Two customers who may be one. `bound`: a no of either binds the other meanwhile."""

    one: UUID
    other: UUID
    reason: str = Field(description="What they have in common: `identifier` or `contact_point`.")
    bound: bool

    @classmethod
    def of(cls, candidate: Candidate) -> "CandidateBody":
        return cls(one=candidate.one, other=candidate.other, reason=candidate.reason, bound=candidate.binds)


class CandidatesBody(BaseModel):
    items: list[CandidateBody]
    next: str | None = Field(description="`after` for the next page; null on the last page.")


class ContradictionBody(BaseModel):
    """A refused row: it names `customer` by an identifier, and says otherwise of them in `fields`."""

    id: UUID
    customer: UUID
    source: str
    number: str | None = Field(description="The customer number in the row.")
    fields: list[str]

    @classmethod
    def of(cls, found: Contradiction) -> "ContradictionBody":
        return cls.model_validate(found._asdict())


class ContradictionsBody(BaseModel):
    items: list[ContradictionBody]
    next: UUID | None = Field(description="`after` for the next page; null on the last page.")


def _customership(of: Customership) -> CustomershipBody:
    return CustomershipBody(company=of.company, number=of.number, since=of.since, ended=of.ended)


def _point(point: SeenPoint, give: Give) -> PointBody:
    post = point.kind is PointKind.POST
    return PointBody(
        id=give(point.id),
        kind=point.kind,
        value=None if post else point.value,
        address=addresses.from_text(point.value) if post and point.value else None,
        role_address=point.role_address,
        sales=[SaleBody.model_validate(s, from_attributes=True) for s in point.sales],
    )


def _statement(source: str, facts: Facts, give: Give) -> StatementBody:
    return StatementBody(
        source=source,
        recipient=facts.recipient,
        name=facts.name,
        language=facts.language,
        identity_code_known=facts.identity is not None,
        business_id=facts.business_id,
        birth_date=facts.birth_date,
        deceased=facts.deceased,
        safety_ban=facts.safety_ban,
        organisation=give(facts.organisation) if facts.organisation else None,
        person=give(facts.person) if facts.person else None,
        duties=[DutyBody(product_group=d.product_group, evidence=d.evidence) for d in facts.duties],
        taken_back=[
            TakenBackBody(field=t.field, stated_by=list(t.stated_by), reason=t.reason, at=t.at)
            for t in facts.taken_back
        ],
    )
