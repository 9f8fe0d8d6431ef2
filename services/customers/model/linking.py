"""Which customers may be the same person, though nobody joined them: a no of one binds the others. In doubt it denies.

Bound are two of any companies with an equal identity code, or with an equal e-mail address or phone and no
contradiction in name, birth date or identity code; never two whom the group marked as different people.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from kielto.events.words import PointKind, Recipient
from kielto.validation import FieldRule
from services.customers.model.customer import GROUP, RegisteredCustomer
from services.customers.model.draft import Draft, Speaker
from services.customers.model.merging import contradict
from services.customers.model.names import folded
from services.customers.model.problems import CustomerRefusedError

MOST_HOLDERS = 50
"""A contact point that one source states of more customers links none of these anew: it is a switchboard or a
placeholder, and linking everybody with everybody would make each no one of thousands. What other sources state links
all the same, and links that stand stay, so that nobody keeps others apart by invented holders."""


MOST_KEPT = 100
"""Links of one customer up to which one stays though what it rested on is gone."""


Crowded = tuple[tuple[PointKind, str], str]
"""A contact point, and the source that states it of very many."""


class Link(NamedTuple):
    """`binds`: a no of either binds the other. Otherwise the two are only to be looked at."""

    reason: str
    binds: bool


class Candidate(NamedTuple):
    """Two who may be one. `bound`: a no of either binds the other meanwhile."""

    one: UUID
    other: UUID
    reason: str
    bound: bool


class Contradiction(NamedTuple):
    """A row of `source` that was refused: it names `customer` by an identifier and contradicts it in `fields`."""

    id: UUID
    customer: UUID
    source: str
    number: str | None
    fields: tuple[str, ...]


IDENTIFIER, CONTACT_POINT = "identifier", "contact_point"


def link(
    one: RegisteredCustomer, other: RegisteredCustomer, crowded: frozenset[Crowded], *, linked: bool
) -> Link | None:
    """How the two are linked; None: they are not. `linked`: they are so far; `crowded`: points of very many."""
    if one.identities & other.identities:
        return Link(IDENTIFIER, binds=True)
    if _business(one) & _business(other):
        return Link(
            IDENTIFIER, binds=_same_point(one, other, crowded, linked) and not contradicts(one, other)
        )
    if _same_point(one, other, crowded, linked) and not contradicts(one, other):
        return Link(CONTACT_POINT, binds=True)
    return None


def stays(one: RegisteredCustomer, other: RegisteredCustomer) -> bool:
    """Whether two who were bound stay so though nothing says any more that they may be the same person: whoever drops
    an address, or calls somebody otherwise, takes back no no that binds another company's record.
    """
    across = {*one.companies} != {*other.companies}
    return across and max(len(one.links), len(other.links)) <= MOST_KEPT


def reachable(customer: RegisteredCustomer) -> frozenset[tuple[PointKind, str]]:
    """The contact points that link: everybody in a house has its postal address."""
    return frozenset(p.key for p in customer.points if p.kind is not PointKind.POST)


def bound_by(customer: RegisteredCustomer) -> tuple[UUID, ...]:
    """Ids of those whose own no binds this customer: those who may be the same person, and whom a contact person is."""
    return tuple(sorted((customer.links | customer.persons) - {customer.id, *customer.aliases}))


def contradicts(one: RegisteredCustomer, other: RegisteredCustomer) -> bool:
    ours, theirs = _names(one), _names(other)
    if _is_organisation(one) != _is_organisation(other) and not ours & theirs:
        return True  # a person and an organisation are one, a sole trader, by their name alone
    return (
        contradict(ours, theirs)
        or contradict(_born(one), _born(other))
        or contradict(set(one.identities), set(other.identities))
    )


def _same_point(
    one: RegisteredCustomer, other: RegisteredCustomer, crowded: frozenset[Crowded], linked: bool
) -> bool:
    if linked:
        return bool(reachable(one) & reachable(other))
    ours, theirs = ({p.key for p in x.points if (p.key, p.source) not in crowded} for x in (one, other))
    return bool(ours & theirs & reachable(one))


def _names(customer: RegisteredCustomer) -> set[str]:
    return {folded(f.name) for f in customer.facts.values() if f.name} - {""}


def _born(customer: RegisteredCustomer) -> set[date | None]:
    return {f.birth_date for f in customer.facts.values()} - {None}


def _business(customer: RegisteredCustomer) -> set[str]:
    return {f.business_id for f in customer.facts.values() if f.business_id}


def _is_organisation(customer: RegisteredCustomer) -> bool:
    kinds = {f.recipient for f in customer.facts.values()} - {None}
    return kinds == {Recipient.LEGAL}


def pairs(ids: Iterable[tuple[UUID, UUID]]) -> set[tuple[UUID, UUID]]:
    """Each pair once, the lower id first."""
    return {(min(a, b), max(a, b)) for a, b in ids}


_RULE = (
    "contradicts the customer with this identifier: name that one by its number, or correct the identifier"
)


class ContradictionError(CustomerRefusedError):
    """A row contradicts a customer whom it names by an identifier: they are two people, or the identifier is wrong."""

    def __init__(self, customer: UUID, fields: list[str]) -> None:
        self.customer, self.fields = customer, tuple(fields)
        super().__init__(FieldRule(field, _RULE) for field in fields)


def check_contradiction(
    customer: RegisteredCustomer, draft: Draft, speaker: Speaker, identity: bytes | None, *, by_code: bool
) -> None:
    """Raise ContradictionError if the row contradicts what the speaker or the group states of the customer. What
    others state is not compared.

    `by_code`: it was found by the identity code, else by the business id.
    """
    told = [customer.stated_by(source) for source in {speaker.name, GROUP}]
    said: dict[str, tuple[object, set[Any]]] = {
        "identity_code": (None if by_code else identity, {f.identity for f in told}),
        "business_id": (draft.business_id if by_code else None, {f.business_id for f in told}),
        "birth_date": (draft.birth_date, {f.birth_date for f in told}),
        "name": (folded(draft.name) if draft.name else None, {folded(f.name) for f in told if f.name}),
    }
    fields = [f for f, (value, known) in said.items() if value and known - {None} and value not in known]
    if fields:
        raise ContradictionError(customer.id, fields)
