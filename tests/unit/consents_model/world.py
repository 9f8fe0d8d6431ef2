"""A small world in which everything meets often: few people, addresses, numbers, product groups and decision ids."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import strategies as st

from kielto.events.words import Act, Channel, PointKind, Purpose, Reach, Recipient, Status
from services.consents.model.applicable import select_applicable
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    NumberSubject,
    PointSubject,
    RecordedDecision,
    Route,
    Subject,
)
from services.consents.model.derived import in_force
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import (
    CustomerFacts,
    CustomershipFacts,
    GroupFacts,
    Person,
    PointFacts,
    SaleFacts,
    StatedFacts,
    persons,
)
from services.consents.model.rules import Rules
from services.consents.model.ruling import Cell, CellPermission, Groups
from tests.unit.consents_model.reference import Plain

RULES = Rules.shipped()
GROUP = GroupFacts(
    ("kauppa", "sahko"), {"matkat": frozenset({"kauppa", "sahko"}), "pankki": frozenset({"kauppa"})}
)
PRODUCT_GROUPS = ("food", "power")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

ANNA, BERTTA, USER, CONTACT, FIRM = (UUID(int=n) for n in range(1, 6))
PEOPLE = (ANNA, BERTTA, USER, CONTACT, FIRM)
ADDRESSES: tuple[tuple[PointKind, bytes | None], ...] = (
    (PointKind.EMAIL, b"email-1"),
    (PointKind.EMAIL, b"email-2"),
    (PointKind.PHONE, b"phone-1"),
    (PointKind.POST, None),
)
NUMBERS = (("kauppa", b"k-1"), ("kauppa", b"k-2"), ("sahko", b"s-1"))
DECISION_IDS = tuple(UUID(int=1000 + n) for n in range(8))
LIVE_CHANNELS = (Channel.EMAIL, Channel.SMS, Channel.PHONE, Channel.POST)


def point_id(owner: UUID, address: int, entry: int = 0) -> UUID:
    """An address entered anew gets a new id."""
    return UUID(int=owner.int * 100 + address * 10 + entry + 10_000)


def allowances(cells: Iterable[CellPermission]) -> dict[Cell, Groups]:
    """What is allowed, and nothing else: absent means denied."""
    return {cell: ruling.product_groups for cell, ruling in cells if ruling.allowed}


def restrictions_in_force(
    person: Person, decisions: Iterable[RecordedDecision], rules: Rules
) -> frozenset[UUID]:
    """What binds the person, as anybody sees them, and is not wholly lifted: what a lifting has to cite."""
    said = tuple(decisions)
    found = (in_force(select_applicable(view, said, rules)) for view in person.views())
    return frozenset(no.decision.id for nos in found for no in nos)


@dataclass(frozen=True)
class ModelWorld:
    customers: tuple[CustomerFacts, ...]
    decisions: tuple[RecordedDecision, ...] = ()

    def person(self, ident: UUID) -> Person:
        return persons(self.customers)[ident]

    def customer(self, ident: UUID) -> CustomerFacts:
        return next(c for c in self.customers if c.id == ident)

    def changed(self, customer: CustomerFacts) -> "ModelWorld":
        return replace(self, customers=tuple(customer if c.id == customer.id else c for c in self.customers))

    def told(self, *decisions: RecordedDecision) -> "ModelWorld":
        return replace(self, decisions=(*self.decisions, *decisions))

    def allowed(self, ident: UUID, rules: Rules = RULES) -> dict[Cell, Groups]:
        return allowances(evaluate(self.person(ident), self.decisions, GROUP, rules))

    def everything_allowed(self) -> dict[UUID, dict[Cell, Groups]]:
        """By every key under which permissions are published."""
        return {c.id: self.allowed(c.id) for c in self.customers}


# ------------------------------------------------------------------------------------------- chance
# Each part of a world is made from one drawn seed: quick to draw, and shrinking still drops whole parts.

T = TypeVar("T")


def seeded(make: Callable[..., T], *args: object) -> st.SearchStrategy[T]:
    return st.integers(0, 2**24).map(lambda seed: make(Random(seed), *args))


def some(rng: Random, of: Sequence[T], least: int = 0, most: int = 3) -> list[T]:
    return rng.sample(of, rng.randint(least, min(most, len(of))))


def make_points(rng: Random, owner: UUID) -> tuple[PointFacts, ...]:
    found = []
    for number in sorted(some(rng, range(len(ADDRESSES)), least=1)):
        kind, ref = ADDRESSES[number]
        sale = SaleFacts(
            rng.choice(GROUP.companies), date(2025, 5, 1), rng.choice(PRODUCT_GROUPS), rng.random() < 0.7
        )
        ident = point_id(owner, number, rng.randint(0, 1))
        point = PointFacts(ident, kind, ref, rng.random() < 0.5, (sale,) * rng.randint(0, 1))
        if rng.random() < 0.3:
            point = replace(point, holders=frozenset(some(rng, GROUP.companies, least=1)))
        if rng.random() < 0.2:
            point = replace(point, role_address_in=frozenset(some(rng, GROUP.companies)))
        found.append(point)
    return tuple(found)


def make_stated(rng: Random, ident: UUID, company: str) -> StatedFacts:
    """Only some are anybody's contact persons by a company's word alone."""
    may_act = ident in (USER, CONTACT)
    recipients = (None, Recipient.NATURAL, Recipient.LEGAL, *((Recipient.CONTACT,) if may_act else ()))
    organisation = rng.choice((FIRM, FIRM, BERTTA, UUID(int=99))) if may_act else None
    duties = frozenset(some(rng, PRODUCT_GROUPS)) if may_act else frozenset[str]()
    return StatedFacts(company, rng.choice(recipients), organisation, duties)


def make_links(rng: Random, ident: UUID) -> tuple[UUID, ...]:
    others = [other for other in (*PEOPLE, UUID(int=98)) if other != ident]
    return tuple(some(rng, others, least=1, most=2)) if rng.random() < 0.2 else ()


def make_customer(rng: Random, ident: UUID) -> CustomerFacts:
    recipient = {CONTACT: Recipient.CONTACT, FIRM: Recipient.LEGAL}.get(ident, Recipient.NATURAL)
    if ident == USER and rng.random() < 0.3:
        recipient = Recipient.USER
    return CustomerFacts(
        ident,
        recipient,
        Status.ERASED if rng.random() < 0.02 else Status.LIVE,
        deceased=rng.random() < 0.03,
        minor=rng.random() < 0.03,
        safety_ban=rng.random() < 0.1,
        organisation=FIRM if ident == CONTACT else None,
        duties=frozenset(some(rng, PRODUCT_GROUPS)) if ident == CONTACT else frozenset(),
        points=make_points(rng, ident),
        customerships=tuple(
            CustomershipFacts(c, r, rng.random() < 0.8) for c, r in some(rng, NUMBERS, least=1)
        ),
        stated=tuple(make_stated(rng, ident, c) for c in GROUP.companies if rng.random() < 0.15),
        bound_by=make_links(rng, ident),
    )


def make_merges(rng: Random) -> dict[UUID, tuple[UUID, bool]]:
    """Who is merged into whom, in chains and (wrongly) in circles or into nobody known; published bare or whole."""
    found = {}
    for ident in (ANNA, BERTTA, USER):
        into = rng.choice((*PEOPLE, UUID(int=99)))
        if into != ident and rng.random() < 0.35:
            found[ident] = (into, rng.random() < 0.5)
    return found


def alias(customer: CustomerFacts, into: UUID, bare: bool) -> CustomerFacts:
    merged_away = replace(customer, alias_of=into, status=Status.ALIAS)
    return replace(merged_away, points=(), customerships=()) if bare else merged_away


def merge(world: ModelWorld, kept: UUID, gone: UUID, moved: bool) -> ModelWorld:
    """`gone` lives on under `kept`: as the register merges, where the survivor has `moved` what the alias still shows,
    or only the alias is known.
    """
    survivor, leaver = world.customer(kept), world.customer(gone)
    if moved:
        known = {p.id for p in survivor.points} | {p.ref for p in survivor.points if p.ref}
        points = (p for p in leaver.points if p.id not in known and p.ref not in known)
        survivor = replace(
            survivor,
            customerships=survivor.customerships + leaver.customerships,
            points=(*survivor.points, *points),
        )
    return world.changed(survivor).changed(alias(leaver, kept, bare=False))


def make_restricting_fact(rng: Random, customer: CustomerFacts) -> CustomerFacts:
    """A change of facts that can only take away."""
    match rng.randint(0, 6):
        case 0:
            return replace(customer, deceased=True)
        case 1:
            return replace(customer, minor=True)
        case 2:
            return replace(customer, safety_ban=True)
        case 3:
            return replace(customer, status=Status.ERASED)
        case 4:
            ended = tuple(replace(c, active=c.active and rng.random() < 0.5) for c in customer.customerships)
            return replace(customer, customerships=ended)
        case 5:
            return replace(customer, points=tuple(p for p in customer.points if rng.random() < 0.5))
        case _:
            return replace(customer, points=tuple(replace(p, sales=()) for p in customer.points))


def make_other_facts(rng: Random, customer: CustomerFacts) -> CustomerFacts:
    """Any newer facts of the same customer, as its service might publish them; merges are `merge`."""
    return replace(make_customer(rng, customer.id), alias_of=customer.alias_of, status=customer.status)


def make_others_word(rng: Random, customer: CustomerFacts, company: str) -> CustomerFacts:
    """What the company states of the customer changes, in whatever way; nothing that restricts everywhere."""
    stated = tuple(s for s in customer.stated if s.company != company)
    if rng.random() < 0.7:
        stated += (make_stated(rng, customer.id, company),)
    points = []
    for point in customer.points:
        held = point.holders
        if held and rng.random() < 0.5:
            held = held - {company} or held if company in held else held | {company}
        roles = point.role_address_in ^ {company} if rng.random() < 0.5 else point.role_address_in
        its = tuple(s for s in point.sales if s.seller != company)
        sales = its + (SaleFacts(company, date(2025, 5, 1), rng.choice(PRODUCT_GROUPS), True),) * rng.randint(
            0, 1
        )
        points.append(replace(point, holders=held, role_address_in=roles, sales=sales))
    kind, ref = rng.choice(ADDRESSES)
    points.append(PointFacts(UUID(int=77_000 + rng.randint(0, 9)), kind, ref, holders=frozenset({company})))
    return replace(customer, stated=stated, points=tuple(points))


def make_others_decision(rng: Random, ident: UUID, company: str) -> RecordedDecision:
    """What a company may say for a person: a yes for its own marketing alone, a no as far as it likes."""
    decision = make_decision(rng, ident)
    if decision.is_no:
        return decision
    purposes = OWN if decision.act is Act.CONSENT else decision.purposes
    return replace(decision, reach=Reach.COMPANY, company=company, partner=None, purposes=purposes)


def make_subject(rng: Random) -> Subject:
    match rng.randint(0, 9):
        case 0 | 1:
            return NumberSubject(*rng.choice(NUMBERS))
        case 2 | 3:
            return PointSubject(rng.choice([ref for _, ref in ADDRESSES if ref]))
        case _:
            return CustomerSubject(rng.choice((ANNA, ANNA, BERTTA, CONTACT, FIRM, FIRM, *PEOPLE)))


OWN = frozenset({Purpose.OWN_MARKETING})
PARTNER = frozenset({Purpose.PARTNER_MARKETING})
DISCLOSURE = frozenset({Purpose.DISCLOSURE})
ABOUT_PARTNERS = (PARTNER, DISCLOSURE, PARTNER | DISCLOSURE, OWN | PARTNER | DISCLOSURE)
ABOUT_ANYTHING = (OWN, *ABOUT_PARTNERS, frozenset(Purpose))
ACTS = (Act.BAN, Act.OPT_OUT, Act.WITHDRAWAL, Act.OBJECTION, *(Act.CONSENT, Act.LIFTING) * 2)


def make_decision(rng: Random, ident: UUID, acts: Sequence[Act] = ACTS) -> RecordedDecision:
    """A decision that `check` would take, but for a *yes* that somebody else says, which the model must ignore."""
    act = rng.choice(acts)
    subject = make_subject(rng)
    reach = rng.choice((Reach.GROUP, Reach.COMPANY, Reach.PARTNER, Reach.PARTNERS))
    if act is Act.CONSENT and reach is Reach.PARTNERS:
        reach = Reach.PARTNER
    if reach in (Reach.PARTNER, Reach.PARTNERS):
        purposes = rng.choice(ABOUT_PARTNERS)
    else:
        purposes = OWN if act is Act.CONSENT else rng.choice(ABOUT_ANYTHING)
    partner = rng.choice(sorted(GROUP.partners)) if reach is Reach.PARTNER else None
    company = None
    if reach is Reach.COMPANY or (reach is not Reach.GROUP and rng.random() < 0.3):
        company = "kauppa" if partner else rng.choice(GROUP.companies)
    others = [i for i in DECISION_IDS if i != ident]
    named = act is Act.CONSENT and rng.random() < 0.3
    said = NOW + timedelta(days=rng.randint(-3, 3))
    return RecordedDecision(
        ident,
        subject,
        act,
        reach,
        company,
        partner,
        purposes,
        rng.choice(
            (frozenset(Channel), frozenset(LIVE_CHANNELS), frozenset(some(rng, LIVE_CHANNELS, least=1)))
        ),
        by=rng.choice((Actor.PERSON,) * 6 + (Actor.AGENT, Actor.STAFF, Actor.IMPORT)),
        route=Route.SELF_SERVICE,
        said_at=said,
        received_at=NOW,
        effective_from=said,
        lifts=frozenset() if act.restricts else frozenset(some(rng, others, least=1, most=len(others))),
        product_groups=frozenset(some(rng, PRODUCT_GROUPS, least=1)) if named else frozenset(),
    )


def decisions(ident: UUID, acts: Sequence[Act] = ACTS) -> st.SearchStrategy[RecordedDecision]:
    return seeded(make_decision, ident, acts)


@st.composite
def worlds(draw: st.DrawFn) -> ModelWorld:
    world = ModelWorld(tuple(draw(seeded(make_customer, ident)) for ident in PEOPLE))
    for gone, (kept, bare) in draw(seeded(make_merges)).items():
        world = world.changed(alias(world.customer(gone), kept, bare))
    least = draw(st.sampled_from((0, 3, 6)))
    told = draw(st.lists(st.sampled_from(DECISION_IDS), unique=True, min_size=least))
    return world.told(*(draw(decisions(ident)) for ident in told))


# ------------------------------------------------------------------------------------------- as plain dicts


def plain(world: ModelWorld) -> Plain:
    return {
        "companies": list(GROUP.companies),
        "partners": {p: sorted(c) for p, c in GROUP.partners.items()},
        "customers": {str(c.id): _customer(c) for c in world.customers},
        "decisions": [_decision(d) for d in {d.id: d for d in world.decisions}.values()],
    }


def plain_cell(cell: Cell) -> tuple[str, str, str, str, str | None, str | None]:
    return (cell.company, f"id:{cell.point}", str(cell.channel), str(cell.purpose), cell.partner, cell.mode)


def _text(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return f"id:{value}" if isinstance(value, UUID) else value


def _customer(c: CustomerFacts) -> Plain:
    return {
        "id": str(c.id),
        "recipient": str(c.recipient),
        "status": str(c.status),
        "alias_of": str(c.alias_of) if c.alias_of else None,
        "deceased": c.deceased,
        "minor": c.minor,
        "safety_ban": c.safety_ban,
        "organisation": str(c.organisation) if c.organisation else None,
        "duties": sorted(c.duties),
        "points": [
            {
                "id": _text(p.id),
                "kind": str(p.kind),
                "ref": _text(p.ref),
                "role_address": p.role_address,
                "role_address_in": sorted(p.role_address_in),
                "holders": sorted(p.holders),
                "sales": [
                    {"seller": s.seller, "product_group": s.product_group, "ban_offered": s.ban_offered}
                    for s in p.sales
                ],
            }
            for p in c.points
        ],
        "stated": [
            {
                "company": s.company,
                "recipient": str(s.recipient) if s.recipient else None,
                "organisation": str(s.organisation) if s.organisation else None,
                "duties": sorted(s.duties),
            }
            for s in c.stated
        ],
        "bound_by": _ids(c.bound_by),
        "customerships": [
            {"company": m.company, "ref": _text(m.ref), "active": m.active} for m in c.customerships
        ],
    }


def _decision(d: RecordedDecision) -> Plain:
    return {
        "id": str(d.id),
        "subject": _subject(d.subject),
        "act": str(d.act),
        "reach": str(d.reach),
        "company": d.company,
        "partner": d.partner,
        "purposes": sorted(d.purposes),
        "channels": sorted(d.channels),
        "by": str(d.by),
        "lifts": _ids(d.lifts),
        "product_groups": sorted(d.product_groups),
    }


def _subject(subject: Subject) -> Plain:
    match subject:
        case CustomerSubject(ident):
            return {"customer": str(ident)}
        case NumberSubject(company, ref):
            return {"company": company, "number": _text(ref)}
        case PointSubject(ref):
            return {"point": _text(ref)}


def _ids(idents: Iterable[UUID]) -> list[str]:
    return sorted(str(i) for i in idents)
