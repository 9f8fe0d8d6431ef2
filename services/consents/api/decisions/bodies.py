"""Bodies of the decision routes: what a desk sends, and a decision as it is shown."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from kielto.events.base import Hash, Ident, Moment
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach
from kielto.service.http.auth import Caller
from services.consents.api.callers import digest_given
from services.consents.api.problems import invalid
from services.consents.model.decisions import Actor, Route
from services.consents.model.ref import NamedSubject
from services.consents.use_cases.context import Context, decision_id
from services.consents.use_cases.decisions.command import Command
from services.consents.use_cases.decisions.read import DecisionAsGiven


class _StrictBody(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ByCustomer(_StrictBody):
    customer: UUID | Hash = Field(
        description="The group's token gives our id, a company's its own (64 hex digits)."
    )


class ByNumber(_StrictBody):
    company: Ident
    number: Annotated[str, StringConstraints(min_length=1, max_length=64)]


class ByPoint(_StrictBody):
    kind: Literal[PointKind.EMAIL, PointKind.PHONE]
    value: Annotated[str, StringConstraints(min_length=1, max_length=320)]
    country: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")] | None = Field(
        default=None,
        description="Where the phone number is read from (ISO 3166 alpha-2); else the company's.",
    )


def _shape(given: Any) -> str:
    names = given if isinstance(given, dict) else {}
    return "customer" if "customer" in names else "number" if "number" in names else "point"


GivenSubject = Annotated[
    Annotated[ByCustomer, Tag("customer")]
    | Annotated[ByNumber, Tag("number")]
    | Annotated[ByPoint, Tag("point")],
    Discriminator(_shape),
]


class GivenDecision(_StrictBody):
    """What is left out has the meaning that the act and the route give it; a bare ban is everything, everywhere."""

    subject: GivenSubject
    act: Act
    reach: Reach | None = None
    company: Ident | None = None
    partner: Ident | None = None
    purposes: list[Purpose] = Field(default=[], max_length=20)
    channels: list[Channel] = Field(default=[], max_length=20)
    product_groups: list[Ident] = Field(default=[], max_length=100, description="Only for a consent.")
    lifts: list[UUID | Hash] = Field(
        default=[],
        max_length=100,
        description="Restrictions: the group's token gives our ids; a company's its references, or its own "
        "ids of decisions that it sent.",
    )
    by: Actor = Actor.PERSON
    route: Route = Route.SELF_SERVICE
    said_at: Moment | None = Field(default=None, description="When it was said; default: now.")
    evidence: str | None = Field(default=None, max_length=2000)

    def command(self, context: Context, caller: Caller) -> Command:
        """Raises ProblemError 422 for what is no contact point."""
        received_at = context.clock()
        if self.act.restricts and self.lifts:
            raise invalid("lifts", "must be empty unless the act is consent or lifting")
        return Command(
            id=uuid4(),
            subject=self._subject(context, caller),
            act=self.act,
            received_at=received_at,
            said_at=self.said_at or received_at,
            reach=self.reach,
            company=self.company,
            partner=self.partner,
            purposes=tuple(self.purposes),
            channels=tuple(self.channels),
            product_groups=tuple(self.product_groups),
            lifts=tuple(self._lift(caller, lift) for lift in self.lifts),
            by=self.by,
            route=self.route,
            evidence=self.evidence,
            party=caller.party,
            recorded_by=caller.subject,
        )

    def _lift(self, caller: Caller, lift: UUID | str) -> UUID | str:
        whose = caller.party
        return decision_id(whose, lift) if whose and isinstance(lift, UUID) else lift

    def _subject(self, context: Context, caller: Caller) -> NamedSubject:
        match self.subject:
            case ByCustomer(customer=UUID() as customer) if caller.company is None:
                return NamedSubject.of_customer(customer)
            case ByCustomer(customer=str() as ident) if whose := caller.party:
                return NamedSubject.of_id(whose, ident)
            case ByCustomer():
                rule = "must be your own id of the customer: 64 hexadecimal digits"
                raise invalid(
                    "subject.customer", rule if caller.company else "must be our id of the customer: a UUID"
                )
            case ByNumber(company=company, number=number):
                digest = digest_given("subject.number", PointKind.NUMBER, f"{company}:{number}")
                return NamedSubject.of_number(company, context.keys.encrypt(digest))
            case ByPoint(kind=kind, value=value, country=country):
                country = country or _country(context, self.company or caller.company)
                return NamedSubject.of_point(
                    kind, context.keys.encrypt(digest_given("subject.value", kind, value, country))
                )


def _country(context: Context, company: str | None) -> str:
    """The company's country; the first company's when the company is unknown (it is refused later) or not given."""
    companies = context.group.companies
    return next((c.country for c in companies if c.id == company), companies[0].country)


EXAMPLES = {
    "ban": {
        "summary": "No direct marketing at all",
        "value": {
            "subject": {"customer": "0198c0de-0000-7000-8000-000000000001"},
            "act": "ban",
            "route": "phone",
        },
    },
    "opt_out": {
        "summary": "No partners' marketing, by customer number",
        "value": {"subject": {"company": "kauppa", "number": "12345"}, "act": "opt_out"},
    },
    "stop": {
        "summary": "STOP to a text message, from a number that we may not know",
        "value": {
            "subject": {"kind": "phone", "value": "040 1234567"},
            "act": "ban",
            "route": "sms_stop",
        },
    },
    "consent": {
        "summary": "Consent to a company's e-mail",
        "value": {
            "subject": {"customer": "0198c0de-0000-7000-8000-000000000001"},
            "act": "consent",
            "reach": "company",
            "company": "kauppa",
            "purposes": ["own_marketing"],
            "channels": ["email"],
        },
    },
}


class ShownDecision(BaseModel):
    """A decision as it was given. Numbers and addresses are stored as encrypted digests only and cannot be shown."""

    id: str = Field(description="Our id; to a company its own reference.")
    subject_kind: str
    customer: str | None = Field(description="Our id; to a company its own.")
    subject_company: str | None
    act: Act
    reach: Reach
    company: str | None
    partner: str | None
    purposes: list[Purpose]
    channels: list[Channel]
    product_groups: list[str]
    lifts: list[str] = Field(description="Ids, or the company's references.")
    by: Actor
    route: Route
    widened: list[str] = Field(
        description="The rules that a no from a company's topic broke; it was read in its broadest sense."
    )
    said_at: datetime
    received_at: datetime
    effective_from: datetime
    status: str = Field(
        description="`pending` while it bears on nobody known; to a company, on none of its own customers. "
        "`held`: it denies at the party alone until it is released; `voided`: it denies nothing any more."
    )
    brought_by: str | None = Field(description="`company.<id>`, `partner.<id>`; null: ourselves.")
    recorded_by: str | None
    evidence: str | None

    @classmethod
    def of(cls, found: DecisionAsGiven, name: Callable[[UUID], str]) -> "ShownDecision":
        """`name`: a decision as whoever asks knows it."""
        row = found.row
        shown = {field: row[field] for field in cls.model_fields if field in row}
        return cls(
            **shown | {"id": name(row["id"]), "lifts": [name(lifted) for lifted in row["lifts"]]},
            customer=found.customer,
            status=found.status,
            brought_by=row["party"],
            evidence=found.evidence,
        )
