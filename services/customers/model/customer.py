"""A customer as the register knows them."""

from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from kielto.events.digests import normalise
from kielto.events.words import PointKind, Recipient


@dataclass(frozen=True, slots=True, order=True)
class Sale:
    seller: str
    date: date
    product_group: str
    ban_offered: bool


@dataclass(frozen=True, slots=True, order=True)
class Duty:
    product_group: str
    evidence: str


@dataclass(frozen=True, slots=True)
class Point:
    """A contact point. `value` is as it is used: a phone number in E.164, an e-mail address as written, a postal
    address as `addresses` makes it.

    `holders` are those who state it, company ids and `GROUP`: it is gone when none does any more, so that one
    company's import does not take away what another one knows.
    """

    id: UUID
    kind: PointKind
    value: str
    role_address: bool = False
    sales: tuple[Sale, ...] = ()
    holders: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[PointKind, str]:
        return point_key(self.kind, self.value)


def point_key(kind: PointKind, value: str) -> tuple[PointKind, str]:
    """Equal for two spellings of one contact point. Raises InvalidContactPoint."""
    return kind, normalise(kind, value) if kind is PointKind.EMAIL else value


GROUP = "group"
"""The holder and source that speaks for the whole group."""


@dataclass(frozen=True, slots=True)
class Customership:
    """A customer's relation to one company. `canonical` is `<company>:<number>` as digested; `number` as
    written there.
    """

    company: str
    number: str
    canonical: str
    since: date | None = None
    ended: date | None = None

    @property
    def active(self) -> bool:
        return self.ended is None


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field's value comes from, and since when (ISO 8601)."""

    source: str
    at: str


@dataclass(frozen=True, slots=True)
class Customer:
    """`identity` is the blind index of the identity code: the code itself is never opened to compare it.

    `aliases`: the ids of those who were merged into this one.
    """

    id: UUID
    recipient: Recipient
    name: str | None = None
    language: str | None = None
    identity: bytes | None = None
    business_id: str | None = None
    birth_date: date | None = None
    minor: bool = False
    deceased: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    duties: tuple[Duty, ...] = ()
    points: tuple[Point, ...] = ()
    customerships: tuple[Customership, ...] = ()
    sources: dict[str, Source] = field(default_factory=dict)
    aliases: tuple[UUID, ...] = ()

    @property
    def companies(self) -> tuple[str, ...]:
        """Every company in which this is or was a customer."""
        return tuple(sorted({c.company for c in self.customerships}))

    def active_in(self, company: str) -> bool:
        return any(c.active for c in self.customerships if c.company == company)
