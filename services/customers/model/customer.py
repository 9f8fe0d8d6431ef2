"""A customer as the register knows them: what each source states, kept apart.

A source is a company's id, or `GROUP`. What one states is its own: nobody else changes it, and no other company sees
it (`entitlement`).
"""

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from kielto.events.digests import normalise
from kielto.events.words import PointKind, Recipient
from kielto.service.support.crypto_keys import DataKey

GROUP = "group"
"""The source that speaks for the whole group: what it states holds for every company, before the company's own."""


@dataclass(frozen=True, slots=True, order=True)
class StatedSale:
    seller: str
    date: date
    product_group: str
    ban_offered: bool


@dataclass(frozen=True, slots=True, order=True)
class StatedDuty:
    product_group: str
    evidence: str


@dataclass(frozen=True, slots=True)
class PointStatement:
    """What one source states of a contact point. `role_address` None: it does not say."""

    role_address: bool | None = None
    sales: tuple[StatedSale, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """A contact point. `value` is as it is used: a phone number in E.164, an e-mail address as written, a postal
    address as `addresses` makes it.

    `statements` by source: the point is gone when nobody states it any more.
    """

    id: UUID
    kind: PointKind
    value: str
    statements: dict[str, PointStatement] = field(default_factory=dict)

    @property
    def key(self) -> tuple[PointKind, str]:
        return point_key(self.kind, self.value)

    @property
    def source(self) -> str:
        """The only source that states the point; empty where several do."""
        return next(iter(self.statements)) if len(self.statements) == 1 else ""

    @property
    def sales(self) -> tuple[StatedSale, ...]:
        return tuple(sorted({s for c in self.statements.values() for s in c.sales}))

    def of_a_task(self, company: str) -> bool:
        """Whether the point is a role address for `company`: the group's statement counts, otherwise the company's
        own.
        """
        said = (self.statements[s].role_address for s in (GROUP, company) if s in self.statements)
        return bool(next((s for s in said if s is not None), False))

    def held_in(self, company: str) -> bool:
        return GROUP in self.statements or company in self.statements


@lru_cache(maxsize=10_000)  # asked some ten times for each row of an import
def point_key(kind: PointKind, value: str) -> tuple[PointKind, str]:
    """Equal for two spellings of one contact point. Raises InvalidContactPointError."""
    return kind, normalise(kind, value) if kind is PointKind.EMAIL else value


@dataclass(frozen=True, slots=True)
class Customership:
    """A customer's relation to one company. `canonical` is `<company>:<number>` as digested; `number` as
    written there. `ended_by`: the source that stated the end.
    """

    company: str
    number: str
    canonical: str
    since: date | None = None
    ended: date | None = None
    ended_by: str | None = None

    @property
    def active(self) -> bool:
        return self.ended is None


@dataclass(frozen=True, slots=True)
class TakenBack:
    """A restricting fact of companies that the group took back, and why."""

    field: str
    stated_by: tuple[str, ...]
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What one source states of a customer. None, False, empty: it says nothing of that field.

    `identity` is the blind index of the identity code: the code itself is never opened to compare it. `minor`
    follows from `birth_date` and the day. `person` is whom a contact person is as a natural person. `at`: since when
    each field is stated so (ISO 8601).
    """

    recipient: Recipient | None = None
    name: str | None = None
    language: str | None = None
    identity: bytes | None = None
    business_id: str | None = None
    birth_date: date | None = None
    minor: bool = False
    deceased: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    person: UUID | None = None
    duties: tuple[StatedDuty, ...] = ()
    taken_back: tuple[TakenBack, ...] = ()
    at: dict[str, str] = field(default_factory=dict)


NOTHING = Facts()


@dataclass(frozen=True, slots=True)
class RegisteredCustomer:
    """`aliases`: the ids of those who were merged into this one. `former`: blind indexes of identity codes that were
    changed. `links`: other customers who may be the same person.
    """

    id: UUID
    facts: dict[str, Facts] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    customerships: tuple[Customership, ...] = ()
    aliases: tuple[UUID, ...] = ()
    former: frozenset[bytes] = frozenset()
    links: frozenset[UUID] = frozenset()

    @property
    def companies(self) -> tuple[str, ...]:
        """Every company in which this is or was a customer."""
        return tuple(sorted({c.company for c in self.customerships}))

    @property
    def deceased(self) -> bool:
        return any(f.deceased for f in self.facts.values())

    @property
    def minor(self) -> bool:
        return any(f.minor for f in self.facts.values())

    @property
    def safety_ban(self) -> bool:
        return any(f.safety_ban for f in self.facts.values())

    @property
    def identities(self) -> frozenset[bytes]:
        """Identity codes, present and former."""
        return self.former | {f.identity for f in self.facts.values() if f.identity}

    @property
    def persons(self) -> frozenset[UUID]:
        return frozenset(f.person for f in self.facts.values() if f.person)

    def stated_by(self, source: str) -> Facts:
        return self.facts.get(source, NOTHING)

    def active_in(self, company: str) -> bool:
        return any(c.active for c in self.customerships if c.company == company)


@dataclass(frozen=True, slots=True)
class StoredCustomer:
    """A customer with what only the store needs. `revisions`: the entity tag by source."""

    customer: RegisteredCustomer
    revisions: dict[str, int]
    key: DataKey

    def revision(self, scope: str | None) -> int:
        return self.revisions.get(scope or GROUP, 0)


class CustomerAlias(NamedTuple):
    """What is left of a customer who was merged into another one."""

    id: UUID
    survivor: UUID
    companies: tuple[str, ...]
    revisions: dict[str, int]

    def revision(self, scope: str | None) -> int:
        return self.revisions.get(scope or GROUP, 0)
