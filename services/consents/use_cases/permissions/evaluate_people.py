"""Evaluate the permissions of everyone who is concerned: the model, applied to what was loaded."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from kielto.events.party import Party
from services.consents.model.applicable import (
    ApplicableDecision,
    ApplicableDecisions,
    Voice,
    concerns,
    select_applicable,
)
from services.consents.model.decisions import RecordedDecision
from services.consents.model.derived import in_force
from services.consents.model.evaluate import CompanyView, company_views, evaluate_cells
from services.consents.model.facts import CustomerFacts, Person, persons
from services.consents.model.ruling import CellPermission
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context


@dataclass(frozen=True, slots=True)
class InCompany:
    """The decisions that apply to a person as one company sees them, without what others alone state.

    `direct`: by voice, those that are about the person and not only about somebody else whose no binds them. `nos`: all
    that bind them, lifted or not; `restrictions`: those in force.
    """

    direct: Mapping[UUID, Voice] = field(default_factory=dict)
    nos: frozenset[UUID] = frozenset()
    restrictions: frozenset[UUID] = frozenset()

    def names(self, decision: UUID) -> bool:
        """Whether it is about this very customer, or an address that the company has of them."""
        return self.direct.get(decision) in (Voice.OWN, Voice.POINT)


_NOTHING = InCompany()
LISTED = 1000
"""How many restrictions a record names, the newest first: a message has a size limit, and a person may say no any
number of times. A restored database lacks the newest ones if it lacks any.
"""


@dataclass(frozen=True, slots=True)
class PersonPermissions:
    """What one person may be told, with the decisions that it follows from."""

    person: Person
    decisions: tuple[RecordedDecision, ...]
    """All that were said by or about the person, those they act for and those whose no binds them."""
    cells: tuple[CellPermission, ...]
    restrictions: frozenset[UUID]
    """In force, as anybody sees the person."""
    disclosed: frozenset[tuple[str, str]]
    unreadable: bool = False
    """A newer record of the person, or of somebody whose decisions count for them, is there that nobody could read."""
    in_company: Mapping[str, InCompany] = field(default_factory=dict)
    own: frozenset[UUID] = frozenset()
    """The restrictions without those of an organisation."""
    direct: frozenset[UUID] = frozenset()
    """Decisions that are about the person, an address of theirs or their organisation, as anybody sees them."""
    by_link: frozenset[UUID] = frozenset()
    """Decisions that bear on the person only since somebody else's no binds them."""

    @property
    def customers(self) -> tuple[CustomerFacts, ...]:
        return self.person.customers

    @property
    def listed(self) -> tuple[UUID, ...]:
        """Ids of the restrictions that a record names, sorted: the newest `LISTED`."""
        if len(self.restrictions) <= LISTED:
            return tuple(sorted(self.restrictions))
        found = sorted((d.received_at, d.id) for d in self.decisions if d.id in self.restrictions)
        return tuple(sorted(ident for _, ident in found[-LISTED:]))

    def said(self, decision: RecordedDecision) -> RecordedDecision:
        """The decision with `held_at` removed if the person is a customer of the party that brought it."""
        if decision.held_at is None:
            return decision
        return next((d for d in self.decisions if d.id == decision.id), decision)

    def at(self, company: str) -> InCompany:
        """What applies at this company; nothing if it is not a company of the group."""
        return self.in_company.get(company, _NOTHING)


def names(permissions: PersonPermissions, party: Party, decision: UUID) -> bool:
    """Whether the decision is about the person as the party has them: about themselves, or about an address that the
    company has, or that those companies have which disclosed them to the partner."""
    disclosing = [company for company, partner in permissions.disclosed if partner == party.id]
    return any(permissions.at(c).names(decision) for c in ([party.id] if party.is_company else disclosing))


def evaluate_people(context: Context, state: LoadedState) -> Iterator[PersonPermissions]:
    """The permissions of everyone whose facts are known and whose permissions may have changed, each person once."""
    by_customer = persons(state.customers.values())
    for person in {p.root.id: p for c in state.hit if (p := by_customer.get(c)) is not None}.values():
        yield _permissions_of(context, state, person)


def _permissions_of(context: Context, state: LoadedState, person: Person) -> PersonPermissions:
    rules, companies = context.rules, context.facts.companies
    said = _said(state, person)
    decisions = tuple(said.values())
    unreadable = not state.unreadable.isdisjoint(_counting(person))
    by_company = company_views(person, decisions, companies, rules)
    # A record that nobody can read may say anything, so nothing is allowed until it is read.
    found = () if unreadable else evaluate_cells(by_company, context.facts, rules)
    disclosed = frozenset(pair for c in person.keys for pair in state.disclosed.get(c, ()))
    if not decisions:
        return PersonPermissions(person, (), found, frozenset(), disclosed, unreadable)
    views = {id(seen.person): seen for seen in by_company.values()}
    if id(person) not in views:
        views[id(person)] = CompanyView(person, select_applicable(person, decisions, rules))
    summed = {key: _summed(context, seen, decisions) for key, seen in views.items()}
    direct = frozenset(i for one in summed.values() for i in one.direct)
    held = [no for seen in views.values() for no in in_force(seen.applicable)]
    via = frozenset(h.decision.id for seen in views.values() for h in _all_of(seen.applicable) if h.via)
    return PersonPermissions(
        person,
        decisions,
        found,
        frozenset(no.decision.id for no in held),
        disclosed,
        unreadable,
        {company: summed[id(seen.person)] for company, seen in by_company.items()},
        frozenset(no.decision.id for no in held if no.voice is not Voice.EMPLOYER),
        direct,
        via - direct,
    )


def _said(state: LoadedState, person: Person) -> dict[UUID, RecordedDecision]:
    """The decisions that count for the person, by id; without `held_at` if the person is a customer of its party."""
    parties = frozenset(party for key in person.keys for party in state.keys.get(key, ()))
    said = (d for c in _counting(person) for d in state.decisions.get(c, ()))
    return {d.id: replace(d, held_at=None) if d.held_at in parties else d for d in said}


def _counting(person: Person) -> tuple[UUID, ...]:
    """Ids of everybody whose decisions count for the person, the person's own last."""
    employers = [*person.employers, *(b for e in person.employers for b in e.bound_by)]
    others = (key for p in (*employers, *person.bound_by) for key in p.keys)
    return (*others, *person.root.organisations, *person.keys)


def _summed(context: Context, seen: CompanyView, decisions: tuple[RecordedDecision, ...]) -> InCompany:
    about = ((d.id, concerns(seen.person, d, context.rules)) for d in decisions)
    return InCompany(
        {ident: voice for ident, voice in about if voice is not None},
        frozenset(r.no.decision.id for r in seen.applicable.restrictions),
        frozenset(no.decision.id for no in in_force(seen.applicable)),
    )


def _all_of(applicable: ApplicableDecisions) -> Iterator[ApplicableDecision]:
    for no, cited_by in applicable.restrictions:
        yield no
        yield from cited_by
