"""What the model knows of a customer and of the group: the newest facts that other services published."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from uuid import UUID

from kielto.events.words import PointKind, Recipient, Status


@dataclass(frozen=True, slots=True)
class SaleFacts:
    """The sale in connection with which a contact point was obtained (917/2014 section 200(3))."""

    seller: str
    date: date
    product_group: str
    ban_offered: bool


@dataclass(frozen=True, slots=True)
class PointFacts:
    """A contact point. `ref` is the encrypted digest of the address, opaque here; a postal address has none.

    `holders`: the companies that state it, and no other has it; none: the group states it, for every company.
    `role_address_in`: the companies that state that it belongs to a task; `role_address`: the group does.
    """

    id: UUID
    kind: PointKind
    ref: bytes | None = None
    role_address: bool = False
    sales: tuple[SaleFacts, ...] = ()
    holders: frozenset[str] = frozenset()
    role_address_in: frozenset[str] = frozenset()

    def is_held_by(self, company: str) -> bool:
        return not self.holders or company in self.holders

    def seen_by(self, company: str) -> "PointFacts | None":
        """The contact point as one company sees it; None when the company does not have it."""
        if not self.is_held_by(company):
            return None
        of_a_task = self.role_address or company in self.role_address_in
        return self if of_a_task == self.role_address else replace(self, role_address=of_a_task)


@dataclass(frozen=True, slots=True)
class CustomershipFacts:
    """A customer's relation to one company. `ref` is the encrypted digest of the customer number.

    It ends (`active` false) and may move to a survivor; it never vanishes: a *no* by the number binds whoever had it.
    """

    company: str
    ref: bytes
    active: bool = True


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """What one company states of a customer differently from the group; it counts for that company alone.

    None: as the group states; `duties` are exactly these, since more of them would allow more.
    """

    company: str
    recipient: Recipient | None = None
    organisation: UUID | None = None
    duties: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Disclosure:
    """`ref` is the partner's id of the customer; None when the partner has left and its keys are gone."""

    customer: UUID
    partner: str
    company: str
    at: datetime
    ref: str | None


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """One customer as the customers service last published it.

    `duties`: a contact person's product groups within evidenced duties (a job title is no evidence).
    `alias_of`: the customer it was merged into; that one's facts count from then on.
    `bound_by`: customers whose own no binds this one too.
    """

    id: UUID
    recipient: Recipient = Recipient.NATURAL
    status: Status = Status.LIVE
    alias_of: UUID | None = None
    deceased: bool = False
    minor: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    duties: frozenset[str] = frozenset()
    points: tuple[PointFacts, ...] = ()
    customerships: tuple[CustomershipFacts, ...] = ()
    stated: tuple[StatedFacts, ...] = ()
    bound_by: tuple[UUID, ...] = ()

    @property
    def organisations(self) -> tuple[UUID, ...]:
        """Ids of all organisations that any source states the customer to act for."""
        named = (self.organisation, *(s.organisation for s in self.stated))
        return tuple(dict.fromkeys(o for o in named if o is not None))

    @property
    def companies_that_state(self) -> frozenset[str]:
        """The companies that may see the customer differently from the rest."""
        named = frozenset(s.company for s in self.stated)
        return named.union(*(p.holders | p.role_address_in for p in self.points))

    def points_of(self, company: str) -> tuple[PointFacts, ...]:
        """The contact points that the company has, as any source states them."""
        return tuple(p for p in self.points if p.is_held_by(company))

    def seen_by(self, company: str) -> "CustomerFacts":
        """The customer as one company sees it: what the company or the group states, and nothing that others state."""
        points = tuple(point for p in self.points if (point := p.seen_by(company)) is not None)
        same = len(points) == len(self.points) and all(
            a is b for a, b in zip(points, self.points, strict=True)
        )
        if same and not self.stated:
            return self
        seen = replace(self, points=points, stated=())
        for word in self.stated:
            if word.company == company:
                return replace(
                    seen,
                    recipient=word.recipient or self.recipient,
                    organisation=word.organisation or self.organisation,
                    duties=word.duties,
                )
        return seen


@dataclass(frozen=True, slots=True)
class Person:
    """One real person or organisation: the surviving customer and those merged into it.

    `employers`: organisations that anybody states they act for, if known. `bound_by`: whose own no binds them too.
    """

    root: CustomerFacts
    members: tuple[CustomerFacts, ...] = ()
    employers: tuple["Person", ...] = ()
    bound_by: tuple["Person", ...] = ()

    @property
    def customers(self) -> tuple[CustomerFacts, ...]:
        return (self.root, *self.members)

    @property
    def employer(self) -> "Person | None":
        """The organisation of a contact person, where its facts are known."""
        organisation = self.root.organisation
        return next((e for e in self.employers if organisation in e.keys), None)

    def seen_by(self, company: str) -> "Person":
        """The person as one company sees them; the same object where no company differs."""
        root = self.root.seen_by(company)
        members = tuple(m.seen_by(company) for m in self.members)
        same = root is self.root and all(a is b for a, b in zip(members, self.members, strict=True))
        return self if same else replace(self, root=root, members=members)

    @property
    def companies_that_state(self) -> frozenset[str]:
        """The companies that may see the person differently from the rest, who all see the same."""
        return frozenset[str]().union(*(c.companies_that_state for c in self.customers))

    def views(self) -> "tuple[Person, ...]":
        """The person with all that any source states, then as each company that differs sees them."""
        return (self, *(self.seen_by(company) for company in sorted(self.companies_that_state)))

    @property
    def keys(self) -> tuple[UUID, ...]:
        """Every id under which the same permissions are published, the survivor's first."""
        return (self.root.id, *(m.id for m in self.members))

    def is_customer_of(self, company: str) -> bool:
        return any(c.active and c.company == company for c in self.root.customerships)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """The companies of the group, and for each partner the companies that may market or disclose for it."""

    companies: tuple[str, ...]
    partners: Mapping[str, frozenset[str]]
    left: frozenset[str] = frozenset()
    """Companies that have left the group: numbers that they gave still name people."""
    _of_company: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {c: tuple(p for p in sorted(self.partners) if c in self.partners[p]) for c in self.companies}
        object.__setattr__(self, "_of_company", found)

    def partners_of(self, company: str) -> tuple[str, ...]:
        """The partners of the company; none if it is not a company of the group."""
        return self._of_company.get(company, ())

    def works_for(self, partner: str, company: str) -> bool:
        """Whether the company may market or disclose for the partner; nobody does for one that has left."""
        return company in self.companies and company in self.partners.get(partner, ())


def persons(customers: Iterable[CustomerFacts]) -> dict[UUID, Person]:
    """Every given customer's person: those linked by `alias_of`, in a chain of any length.

    A survivor that is not (yet) among them, or aliases in a circle, leave a root that is itself an alias:
    `evaluate` then denies everything, since whose facts count is unknown.
    """
    known = {c.id: c for c in customers}
    roots = {ident: _survivor(known, ident) for ident in known}
    members: dict[UUID, list[CustomerFacts]] = {}
    for ident in sorted(known):
        if ident != roots[ident]:
            members.setdefault(roots[ident], []).append(known[ident])

    bare = {root: Person(known[root], tuple(members.get(root, ()))) for root in set(roots.values())}
    found: dict[UUID, Person] = {}
    for root, person in bare.items():
        employers = _named(bare, roots, person.root.organisations)
        binding = _binding(bare, roots, person)
        if employers or binding:
            employers = tuple(replace(e, bound_by=_binding(bare, roots, e)) for e in employers)
            found[root] = replace(person, employers=employers, bound_by=binding)
        else:
            found[root] = person
    return {ident: found[root] for ident, root in roots.items()}


def _binding(bare: Mapping[UUID, Person], roots: Mapping[UUID, UUID], person: Person) -> tuple[Person, ...]:
    others = (o for c in person.customers for o in c.bound_by)
    return tuple(p for p in _named(bare, roots, others, unknown=True) if p.root.id != person.root.id)


def _named(
    bare: Mapping[UUID, Person], roots: Mapping[UUID, UUID], idents: Iterable[UUID], *, unknown: bool = False
) -> tuple[Person, ...]:
    """Each person once. `unknown`: those too of whom nothing but the id is known."""
    found = {}
    for ident in idents:
        if ident in roots:
            found[roots[ident]] = bare[roots[ident]]
        elif unknown:
            found[ident] = Person(CustomerFacts(ident))
    return tuple(found.values())


def _survivor(known: Mapping[UUID, CustomerFacts], ident: UUID) -> UUID:
    seen = [ident]
    while (upward := known[ident].alias_of) in known and upward is not None:
        if upward in seen:
            return min(seen[seen.index(upward) :])
        seen.append(upward)
        ident = upward
    return ident
