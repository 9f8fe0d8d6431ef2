"""Decisions about marketing: append-only, and never ordered by the times that they carry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from kielto.events.party import Party
from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.ruling import Cell, Groups


class Actor(StrEnum):
    """Who spoke. A *no* is taken from anyone; a *yes* from the person alone."""

    PERSON = "person"
    AGENT = "agent"
    STAFF = "staff"
    IMPORT = "import"


class Route(StrEnum):
    """How a decision came in. The table `route` of rules.toml says what a bare *no* covers for each."""

    SELF_SERVICE = "self_service"
    PHONE = "phone"
    EMAIL = "email"
    SMS_STOP = "sms_stop"
    ONE_CLICK = "one_click"
    SPAM_COMPLAINT = "spam_complaint"
    LETTER = "letter"
    SHOP = "shop"
    PARTNER = "partner"
    IMPORT = "import"


class KnownBy(StrEnum):
    IDENTITY = "identity"
    """A number, a contact point, an identity code, or the name with the postal address."""
    MAILBOX = "mailbox"
    """An address that differs in its tag alone (`eva+shop@`, `eva@`)."""


class OfficerAction(StrEnum):
    """What an officer of the group may do with a party's *no*s about others' people."""

    RELEASED = "released"
    """The decision was held and takes effect as it was given."""
    VOIDED = "voided"
    """The decision counts for nobody any more."""


@dataclass(frozen=True, slots=True)
class CustomerSubject:
    id: UUID


@dataclass(frozen=True, slots=True)
class NumberSubject:
    """A company's customer number, by its encrypted digest: whoever has that customership."""

    company: str
    ref: bytes


@dataclass(frozen=True, slots=True)
class PointSubject:
    """A bare contact point, by its encrypted digest: whoever has it. It is not a person."""

    ref: bytes


Subject = CustomerSubject | NumberSubject | PointSubject


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """One decision as it counts. An empty set of purposes or channels means *all* in a no and *none* in a yes.

    `product_groups` narrow a consent; empty: all. `lifts`: the restrictions that a yes cites. No time is compared.
    """

    id: UUID
    subject: Subject
    act: Act
    reach: Reach
    company: str | None
    partner: str | None
    purposes: frozenset[Purpose]
    channels: frozenset[Channel]
    by: Actor
    route: Route
    said_at: datetime
    received_at: datetime
    effective_from: datetime
    lifts: frozenset[UUID] = frozenset()
    product_groups: frozenset[str] = frozenset()
    spared: Mapping[Cell, Groups] | None = field(default=None, compare=False)
    """What the record that listed a restored *no* allowed all the same: only that record is left of the *no*."""
    suppressed: KnownBy | None = field(default=None, compare=False)
    """For a *no* of an erased person: how the person whom it binds now is known to be them."""
    widened: tuple[str, ...] = ()
    """The rules that a *no* broke, so that it was widened (`scope.widen`)."""
    held_at: str | None = field(default=None, compare=False)
    """Of a *no* above its party's rate: that party (`company.<id>`, `partner.<id>`), which alone it reaches."""

    @property
    def is_no(self) -> bool:
        return self.act.restricts

    @property
    def is_yes(self) -> bool:
        """Only the person says yes: a yes brought by staff, an agent or an import has no effect."""
        return not self.act.restricts and self.by is Actor.PERSON

    def reaches(self, company: str, partner: str | None) -> bool:
        """Whether it is about the company's own marketing (`partner` None), or about that partner's."""
        if self.held_at not in (None, Party.company(company), Party.partner(partner or "")):
            return False
        match self.reach:
            case Reach.GROUP:
                return True
            case Reach.COMPANY:
                return self.company == company
            case Reach.PARTNERS:
                return partner is not None and self.company in (None, company)
            case Reach.PARTNER:
                return partner is not None and self.partner == partner and self.company in (None, company)
