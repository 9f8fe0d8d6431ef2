"""Short ways to make people and let them speak, for tests of single rules."""

from collections.abc import Collection
from datetime import UTC, date, datetime
from itertools import count
from uuid import UUID

from kielto.events.words import Act, Channel, Mode, PointKind, Purpose, Reach, Recipient
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    RecordedDecision,
    Route,
    Subject,
)
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import (
    CustomerFacts,
    CustomershipFacts,
    GroupFacts,
    Person,
    PointFacts,
    SaleFacts,
)
from services.consents.model.rules import Rules
from services.consents.model.ruling import Cell, Ruling
from services.consents.model.scope import expand

RULES = Rules.shipped()
GROUP = GroupFacts(
    ("kauppa", "sahko"), {"matkat": frozenset({"kauppa", "sahko"}), "pankki": frozenset({"kauppa"})}
)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
_ids = count(1)

OWN = (Purpose.OWN_MARKETING,)
TO_PARTNERS = (Purpose.PARTNER_MARKETING, Purpose.DISCLOSURE)


def new_id() -> UUID:
    return UUID(int=next(_ids))


def points(
    role_address: bool = False, sales: tuple[SaleFacts, ...] = (), at: str = "anna"
) -> tuple[PointFacts, ...]:
    """An e-mail address, a phone and a postal address."""
    return (
        PointFacts(new_id(), PointKind.EMAIL, f"email of {at}".encode(), role_address, sales),
        PointFacts(new_id(), PointKind.PHONE, f"phone of {at}".encode(), role_address, sales),
        PointFacts(new_id(), PointKind.POST, None, role_address, sales),
    )


def sale(seller: str = "kauppa", product_group: str = "food", ban_offered: bool = True) -> SaleFacts:
    return SaleFacts(seller, date(2025, 5, 1), product_group, ban_offered)


def customer(
    recipient: Recipient = Recipient.NATURAL,
    companies: Collection[str] = ("kauppa",),
    its_points: tuple[PointFacts, ...] | None = None,
    duties: frozenset[str] = frozenset(),
    organisation: UUID | None = None,
) -> CustomerFacts:
    ident = new_id()
    return CustomerFacts(
        ident,
        recipient,
        organisation=organisation,
        duties=duties,
        points=points(role_address=recipient is Recipient.LEGAL) if its_points is None else its_points,
        customerships=tuple(CustomershipFacts(c, f"{c}:{ident}".encode()) for c in companies),
    )


def say(
    act: Act,
    who: Subject | CustomerFacts,
    lifts: Collection[RecordedDecision] = (),
    by: Actor = Actor.PERSON,
    route: Route = Route.SELF_SERVICE,
    product_groups: Collection[str] = (),
    reach: Reach | None = None,
    company: str | None = None,
    partner: str | None = None,
    purposes: Collection[Purpose] = (),
    channels: Collection[Channel] = (),
) -> RecordedDecision:
    """What is left out is what the route and act give (`expand`)."""
    scope = expand(RULES, route, act, reach, company, partner, purposes, channels)
    return RecordedDecision(
        new_id(),
        CustomerSubject(who.id) if isinstance(who, CustomerFacts) else who,
        act,
        scope.reach,
        scope.company,
        scope.partner,
        scope.purposes,
        scope.channels,
        by,
        route,
        NOW,
        NOW,
        NOW,
        frozenset(d.id for d in lifts),
        frozenset(product_groups),
    )


def consent(
    who: Subject | CustomerFacts,
    channels: Collection[Channel] = tuple(Channel),
    company: str | None = "kauppa",
    partner: str | None = None,
    purposes: Collection[Purpose] = (),
    lifts: Collection[RecordedDecision] = (),
    by: Actor = Actor.PERSON,
    product_groups: Collection[str] = (),
) -> RecordedDecision:
    """To the company's own marketing, or to the partner's."""
    return say(
        Act.CONSENT,
        who,
        lifts,
        by,
        product_groups=product_groups,
        reach=Reach.PARTNER if partner else Reach.COMPANY,
        company=None if partner else company,
        partner=partner,
        purposes=purposes or (TO_PARTNERS if partner else OWN),
        channels=channels,
    )


def rulings(
    who: Person | CustomerFacts, *decisions: RecordedDecision, rules: Rules = RULES
) -> dict[Cell, Ruling]:
    person = who if isinstance(who, Person) else Person(who)
    return {v.cell: v.ruling for v in evaluate(person, decisions, GROUP, rules)}


def asked(
    who: Person | CustomerFacts,
    *decisions: RecordedDecision,
    channel: Channel = Channel.EMAIL,
    company: str = "kauppa",
    partner: str | None = None,
    mode: Mode | None = None,
    rules: Rules = RULES,
) -> Ruling:
    """The ruling at the person's first point of that channel; own marketing, unless a partner is named."""
    mode = mode or (Mode.WE_SEND if partner else None)
    found = [
        r
        for c, r in rulings(who, *decisions, rules=rules).items()
        if (c.channel, c.company, c.partner, c.mode) == (channel, company, partner, mode)
    ]
    return found[0]
