"""What the model knows of a customer and of the group: the newest facts, as others give them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from kielto.events.words import PointKind, Recipient, Status


@dataclass(frozen=True, slots=True)
class Sale:
    """The sale in connection with which a contact point was obtained (917/2014 section 200(3))."""

    seller: str
    date: date
    product_group: str
    ban_offered: bool


@dataclass(frozen=True, slots=True)
class Point:
    """A contact point. `ref` is the sealed digest of the address, opaque here; a postal address has none."""

    id: UUID
    kind: PointKind
    ref: bytes | None = None
    role_address: bool = False
    sales: tuple[Sale, ...] = ()


@dataclass(frozen=True, slots=True)
class Customership:
    """A customer's relation to one company. `ref` is the sealed digest of the customer number.

    It ends (`active` false), and in a merge it may move to the survivor; it never vanishes, since a *no* given by the
    number binds whoever had it.
    """

    company: str
    ref: bytes
    active: bool = True


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer as the customers service last published it.

    `duties`: a contact person's product groups within evidenced duties (a job title is no evidence).
    `alias_of`: the customer it was merged into; that one's facts count from then on.
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
    points: tuple[Point, ...] = ()
    customerships: tuple[Customership, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """One real person or organisation: the surviving customer and those merged into it.

    `employer` is the organisation of a contact person, where its facts are known.
    """

    root: Customer
    members: tuple[Customer, ...] = ()
    employer: "Person | None" = None

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
        """None of a company that is not, or no longer, of the group."""
        return self._of_company.get(company, ())

    def works_for(self, partner: str, company: str) -> bool:
        """Whether the company may market or disclose for the partner; nobody does for one that has left."""
        return company in self.companies and company in self.partners.get(partner, ())


def persons(customers: Iterable[Customer]) -> dict[UUID, Person]:
    """Every given customer's person: those linked by `alias_of`, in a chain of any length.

    A survivor that is not (yet) among them, or aliases in a circle, leave a root that is itself an alias:
    `evaluate` then denies everything, since whose facts count is unknown.
    """
    known = {c.id: c for c in customers}
    roots = {ident: _survivor(known, ident) for ident in known}
    members: dict[UUID, list[Customer]] = {}
    for ident in sorted(known):
        if ident != roots[ident]:
            members.setdefault(roots[ident], []).append(known[ident])

    def person(root: UUID, employer: Person | None) -> Person:
        return Person(known[root], tuple(members.get(root, ())), employer)

    found: dict[UUID, Person] = {}
    for root in set(roots.values()):
        organisation = known[root].organisation
        found[root] = person(root, person(roots[organisation], None) if organisation in roots else None)
    return {ident: found[root] for ident, root in roots.items()}


def _survivor(known: Mapping[UUID, Customer], ident: UUID) -> UUID:
    seen = [ident]
    while (upward := known[ident].alias_of) in known and upward is not None:
        if upward in seen:
            return min(seen[seen.index(upward) :])
        seen.append(upward)
        ident = upward
    return ident
