"""What was given, read: normalised, checked against the group and the day, ready to be applied to a
customer.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

from kielto.events.words import PointKind, Recipient
from kielto.group import Group
from services.customers.model.customer import GROUP, StatedDuty, StatedSale, point_key


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rules refer to."""

    group: Group
    age_of_majority: int = 18


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who states something: a company, or the group as a whole.

    An import may be old or repeated: what it says may restrict at once, but never takes a restricting fact
    back.
    """

    company: str | None = None
    importing: bool = False

    @property
    def name(self) -> str:
        return self.company or GROUP


class OwnId(str):
    """A company's own id of a customer (`Keys.pairwise`), as the company gave it."""

    __slots__ = ()


Reference = UUID | OwnId | str
"""A customer named by id, by the company's own id, or by canonical number."""


@dataclass(frozen=True, slots=True)
class DraftPoint:
    """`None` leaves what is known."""

    kind: PointKind
    value: str
    role_address: bool | None = None
    sales: tuple[StatedSale, ...] | None = None

    @property
    def key(self) -> tuple[PointKind, str]:
        return point_key(self.kind, self.value)


@dataclass(frozen=True, slots=True)
class UnreadablePoint:
    """A contact point of an import that cannot be read: kept as it was given, and used for nothing."""

    kind: PointKind
    field: str
    """Where it stood, e.g. `points.1.value`."""
    rule: str
    value: str
    """As given: JSON of the point's value or address."""


@dataclass(frozen=True, slots=True)
class DraftCustomership:
    company: str
    number: str
    canonical: str
    since: date | None = None
    ended: date | None = None
    states_end: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """`stated` names the fields that were given; the others are left as they are.

    `same_as` names a customer by canonical number; `reason` says why the group takes back what a company states.
    """

    stated: frozenset[str] = frozenset()
    recipient: Recipient | None = Recipient.NATURAL
    name: str | None = None
    language: str | None = None
    identity_code: str | None = None
    business_id: str | None = None
    birth_date: date | None = None
    deceased: bool = False
    safety_ban: bool = False
    organisation: Reference | None = None
    person: Reference | None = None
    duties: tuple[StatedDuty, ...] = ()
    points: tuple[DraftPoint, ...] = ()
    customerships: tuple[DraftCustomership, ...] = ()
    same_as: str | None = None
    reason: str | None = None
    unreadable: tuple[UnreadablePoint, ...] = ()
    """Of an import alone; at a desk what cannot be read is refused."""
