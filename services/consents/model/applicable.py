"""Select the decisions that apply to a person: who speaks in each, and at which contact points it counts."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple
from uuid import UUID

from kielto.events.words import Act, Recipient
from services.consents.model.decisions import (
    CustomerSubject,
    KnownBy,
    NumberSubject,
    PointSubject,
    RecordedDecision,
)
from services.consents.model.facts import CustomerFacts, Person, PointFacts
from services.consents.model.rules import Rules
from services.consents.model.rules_file import Judgement


class Voice(Enum):
    """Who speaks, seen from this person: the person, an address of theirs, or the organisation they act for."""

    OWN = auto()
    POINT = auto()
    EMPLOYER = auto()


LIFTED_BY: dict[Voice, tuple[Voice, ...]] = {
    Voice.OWN: (Voice.OWN,),
    Voice.POINT: (Voice.OWN, Voice.POINT),
    Voice.EMPLOYER: (Voice.EMPLOYER,),
}
"""By the voice of a *no*: whose *yes* lifts it. An address is no person, a contact person not the organisation."""


class ApplicableDecision(NamedTuple):
    """A decision that applies to the person, at the contact points with the ids `at`; None: at all of them.

    `via`: ids of other people whom the decision is about and whose own no binds this person or their organisation.
    """

    decision: RecordedDecision
    voice: Voice
    at: frozenset[UUID] | None
    via: frozenset[UUID] = frozenset()


class Restriction(NamedTuple):
    """A *no* that applies to the person, with the yeses that cite it and may lift it where they cover."""

    no: ApplicableDecision
    cited_by: tuple[ApplicableDecision, ...]


class ApplicableDecisions(NamedTuple):
    """All decisions that apply to one person."""

    restrictions: tuple[Restriction, ...]
    consents: tuple[ApplicableDecision, ...]


def select_applicable(
    person: Person, decisions: Iterable[RecordedDecision], rules: Rules
) -> ApplicableDecisions:
    """The decisions that apply to the person. Their order and repeats change nothing."""
    nos: list[ApplicableDecision] = []
    yeses: list[ApplicableDecision] = []
    consents: list[ApplicableDecision] = []
    for decision in sorted({d.id: d for d in decisions}.values(), key=lambda d: d.id.int):
        found = _applicable(person, decision, rules)
        if found is None:
            continue
        if decision.is_no:
            nos.append(found)
        elif decision.is_yes:
            yeses.append(found)
            if decision.act is Act.CONSENT and not found.via and _may_grant(found.voice, rules):
                consents.append(found._replace(at=_granted_at(person, found)))
    return ApplicableDecisions(tuple(Restriction(no, _cited_by(no, yeses)) for no in nos), tuple(consents))


def _applicable(person: Person, decision: RecordedDecision, rules: Rules) -> ApplicableDecision | None:
    if _is_of_another_mailbox(decision, rules):
        return None
    voice = _voice(person, decision, rules)
    if voice is not Voice.OWN and (via := _via(person.bound_by, decision)):
        return ApplicableDecision(decision, Voice.OWN, None, via)
    if voice is not None:
        return ApplicableDecision(decision, voice, _where(person, decision))
    if (
        person.employer
        and _employer_speaks(person, decision, rules)
        and (via := _via(person.employer.bound_by, decision))
    ):
        return ApplicableDecision(decision, Voice.EMPLOYER, None, via)
    return None


def _is_of_another_mailbox(decision: RecordedDecision, rules: Rules) -> bool:
    by_mailbox = decision.suppressed is KnownBy.MAILBOX
    return by_mailbox and not rules.switches[Judgement.PLUS_ADDRESS_IS_MAILBOX]


def _via(others: Iterable[Person], decision: RecordedDecision) -> frozenset[UUID]:
    """Ids of `others` whom the decision is about, by themselves and not by an address. A restored decision is listed
    by the record of each person it binds, with what that allowed (`spared`), so it binds nobody through others.
    """
    if decision.spared is not None:
        return frozenset()
    return frozenset(p.root.id for p in others if any(_is_about(c, decision) for c in p.customers))


def _cited_by(no: ApplicableDecision, yeses: list[ApplicableDecision]) -> tuple[ApplicableDecision, ...]:
    """The yeses that cite the *no*. A yes by somebody else counts only if that person also said the *no*."""
    return tuple(
        y
        for y in yeses
        if no.decision.id in y.decision.lifts and y.voice in LIFTED_BY[no.voice] and y.via <= no.via
    )


def concerns(person: Person, decision: RecordedDecision, rules: Rules) -> Voice | None:
    """Who speaks in a decision that is directly about this person, whether it counts or not; None: it is not."""
    if _is_of_another_mailbox(decision, rules):
        return None
    return Voice.OWN if _concerns_own(person, decision) else _voice(person, decision, rules)


def _concerns_own(person: Person, decision: RecordedDecision) -> bool:
    """Whether the decision is directly about the person, whether it counts or not."""
    return any(_is_about(customer, decision, ended=True) for customer in person.customers)


def _voice(person: Person, decision: RecordedDecision, rules: Rules) -> Voice | None:
    """Who speaks in the decision; None when it says nothing about this person."""
    root = person.root
    if any(_is_about(customer, decision) for customer in person.customers):
        return Voice.OWN
    if isinstance(decision.subject, PointSubject):
        return Voice.POINT if any(p.ref == decision.subject.ref for p in root.points) else None
    spoken = _employer_speaks(person, decision, rules) and _is_about_employer(person, decision)
    return Voice.EMPLOYER if spoken else None


def _employer_speaks(person: Person, decision: RecordedDecision, rules: Rules) -> bool:
    """Whether the decision may be the organisation's. A yes by a number that the person had is not: otherwise the end
    of the person's customership would give the organisation a yes that it was not before.
    """
    contact = person.root.recipient is Recipient.CONTACT
    bound = contact and rules.switches[Judgement.ORGANISATION_BINDS_CONTACTS]
    return bound and not _concerns_own(person, decision)


def _is_about(customer: CustomerFacts, decision: RecordedDecision, *, ended: bool = False) -> bool:
    """A no binds whoever has or had the number; a yes only who has it (`ended`: or had it): numbers pass on."""
    match decision.subject:
        case CustomerSubject(ident):
            return ident == customer.id
        case NumberSubject(company, ref):
            had = [c for c in customer.customerships if c.ref == ref and c.company == company]
            return any(c.active or ended or decision.is_no for c in had)
        case PointSubject():
            return False


def _is_about_employer(person: Person, decision: RecordedDecision) -> bool:
    """Whether the decision is about the person's organisation, which is known by its id before its facts are."""
    if isinstance(decision.subject, CustomerSubject) and decision.subject.id == person.root.organisation:
        return True
    employer = person.employer
    return employer is not None and any(_is_about(c, decision) for c in employer.customers)


def _where(person: Person, decision: RecordedDecision) -> frozenset[UUID] | None:
    """At which of the person's points it counts; None: at all of them."""
    if isinstance(decision.subject, PointSubject):
        return frozenset(p.id for p in person.root.points if p.ref == decision.subject.ref)
    return None


def _may_grant(voice: Voice, rules: Rules) -> bool:
    """Whether its consent counts: the data subject's (GDPR 4(11)), no organisation's, an address's by switch."""
    return voice is Voice.OWN or (voice is Voice.POINT and rules.switches[Judgement.POINT_MAY_CONSENT])


def _granted_at(person: Person, found: ApplicableDecision) -> frozenset[UUID] | None:
    """Where a consent of people who were merged into this person counts: at the points that it was about and the
    survivor has, even if the survivor has the number by which it was given.

    Otherwise a merge would be a yes at addresses that nobody ever asked about.
    """
    spoke = [m for m in person.members if _is_about(m, found.decision, ended=True)]
    if found.at is not None or not spoke:
        return found.at
    return frozenset(
        p.id for p in person.root.points if all(any(_same(p, q) for q in m.points) for m in spoke)
    )


def _same(one: PointFacts, other: PointFacts) -> bool:
    return one.id == other.id or (one.ref is not None and one.ref == other.ref)
