"""From what was loaded to what each person may be told: the model, applied to everyone who is concerned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

from services.consents.model.decisions import Decision
from services.consents.model.evaluate import evaluate
from services.consents.model.facts import Customer, Person, persons
from services.consents.model.ruling import Verdict
from services.consents.model.views import restrictions_in_force
from services.consents.store.state import State
from services.consents.use_cases.context import Context


@dataclass(frozen=True, slots=True)
class Judged:
    person: Person
    decisions: tuple[Decision, ...]
    """All that were said by or about the person, or by the organisation they act for."""
    verdicts: tuple[Verdict, ...]
    restrictions: frozenset[UUID]
    disclosed: frozenset[tuple[str, str]]
    unreadable: bool = False
    """A newer record of the person or of their organisation is there that nobody could read."""

    @property
    def customers(self) -> tuple[Customer, ...]:
        return (self.person.root, *self.person.members)


def judge(context: Context, state: State) -> Iterator[Judged]:
    """Everyone of whom we have facts and whose permissions may have changed, each person once."""
    by_customer = persons(state.customers.values())
    for person in {p.root.id: p for c in state.hit if (p := by_customer.get(c)) is not None}.values():
        yield _judged(context, state, person)


def _judged(context: Context, state: State, person: Person) -> Judged:
    keys = person.keys
    employers = person.employer.keys if person.employer else ()
    organisation = (person.root.organisation,) if person.root.organisation else ()
    about = {d.id: d for c in (*organisation, *employers, *keys) for d in state.decisions.get(c, ())}
    decisions = tuple(about.values())
    unreadable = not state.unreadable.isdisjoint((*keys, *organisation, *employers))
    if unreadable:  # such a record may say anything, so nothing is allowed until it is read
        person = replace(person, root=replace(person.root, points=()))
    return Judged(
        person,
        decisions,
        evaluate(person, decisions, context.facts, context.rules),
        restrictions_in_force(person, decisions, context.rules),
        frozenset(pair for c in keys for pair in state.disclosed.get(c, ())),
        unreadable,
    )
