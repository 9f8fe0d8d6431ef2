"""State records: full state under one key, never a difference; of each point only what is allowed is listed.

Absent or empty means denied. Words a reader does not know (a new channel, a new purpose) stay plain text here: what
nobody asks for permits nothing.
"""

from typing import ClassVar, Self
from uuid import UUID

from pydantic import Field, model_validator

from kielto.events.base import Event, EventPart, Hash, Ident, Moment, Sealed, VersionText
from kielto.events.versions import Version
from kielto.events.words import PointKind, Recipient, Status


class Allow(EventPart):
    """One thing that is allowed at a contact point on a channel."""

    purpose: str
    partner: Ident | None = None
    mode: str | None = None
    product_groups: tuple[str, ...] | None = Field(default=None, description="Only these; null means all.")


class AllowedPoint(EventPart):
    point: str = Field(
        max_length=64, description="The company's hash of the address; for post, the id of the address."
    )
    channel: str
    allow: tuple[Allow, ...] = Field(description="Empty: nothing may be said there.")


class Record(Event):
    """What every state record has. `erased` carries key, version and status, and nothing else."""

    version: VersionText
    status: Status = Status.LIVE
    changed_at: Moment | None = None

    @model_validator(mode="after")
    def _erased_is_bare(self) -> Self:
        if self.status is not Status.ERASED:
            return self
        if self.model_dump(exclude_defaults=True).keys() - {"subject", "version", "status"}:
            raise ValueError("an erased record must have subject, version and status, and nothing else")
        return self

    @property
    def at_version(self) -> Version:
        return Version.parse(self.version)


class Permissions(Record):
    """What one company or partner may say to its customer. Topics `<party>.restrictions|permissions`."""

    kind: ClassVar[str] = "permissions"
    subject: Hash
    recipient: Recipient | None = None
    numbers: tuple[Hash, ...] = Field(
        default=(), description="The company's hashes of its own customer numbers."
    )
    points: tuple[AllowedPoint, ...] = Field(
        default=(),
        description="Every point that the company holds of the customer, on each of its channels, whether anything is "
        "allowed there or not: an address that a record lists is known, one that none lists is not.",
    )
    valid_until: Moment | None = Field(default=None, description="Denies from then on; never permits.")
    decision: Hash | None = Field(
        default=None, description="The company's reference of the decision behind it."
    )


class CompanyPermissions(EventPart):
    company: Ident
    points: tuple[AllowedPoint, ...]


class CustomerPermissions(Record):
    """A customer's permissions in all companies, for our services. Topics `consents.restrictions|state`."""

    kind: ClassVar[str] = "customer-permissions"
    subject: UUID
    recipient: Recipient | None = None
    companies: tuple[CompanyPermissions, ...] = ()
    restrictions: tuple[UUID, ...] = Field(default=(), description="Ids of the restrictions in force.")
    decision: UUID | None = None


class SaleOf(EventPart):
    """The sale in connection with which a contact point was obtained: 917/2014 section 200(3)."""

    seller: Ident
    date: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    product_group: str
    ban_offered: bool = False


class CustomerPoint(EventPart):
    """A contact point. What one company states of it concerns that company alone."""

    id: UUID
    kind_of: PointKind
    digest: Sealed | None = Field(default=None, description="Sealed canonical digest; none for post.")
    role_address: bool = Field(
        default=False, description="Of an organisation's task, as the group states it."
    )
    role_address_in: tuple[Ident, ...] = Field(
        default=(), description="Companies that state that it is of a task: it is so for them."
    )
    holders: tuple[Ident, ...] = Field(
        default=(),
        description="Companies that state the point: no other has it. None: the group states it, for every company "
        "whose customer this is.",
    )
    sales: tuple[SaleOf, ...] = ()


class StatedBy(EventPart):
    """What one company states of the customer otherwise than the record does: it holds for that company alone."""

    company: Ident
    recipient: Recipient | None = None
    organisation: UUID | None = None
    duties: tuple[str, ...] = ()


class CustomershipOf(EventPart):
    company: Ident
    digest: Sealed = Field(description="Sealed canonical digest of `<company>:<customer number>`.")
    active: bool = True


class Customer(Record):
    """What our services need of a customer; never an address. Topics `customers.restrictions|state`."""

    kind: ClassVar[str] = "customer"
    subject: UUID
    alias_of: UUID | None = None
    recipient: Recipient | None = None
    deceased: bool = False
    minor: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    duties: tuple[str, ...] = Field(
        default=(), description="Product groups within a contact person's evidenced duties."
    )
    points: tuple[CustomerPoint, ...] = ()
    customerships: tuple[CustomershipOf, ...] = ()
    stated: tuple[StatedBy, ...] = Field(
        default=(),
        description="By company, where recipient, organisation or duties differ from those above, which the group "
        "states or every company does.",
    )
    bound_by: tuple[UUID, ...] = Field(
        default=(),
        description="Ids of customers whose own no binds this customer too: who may be the same person, and the person "
        "behind a contact person. ",
    )
    known_by: tuple[Sealed, ...] = Field(
        default=(),
        description="Keyed hashes by which the person is known again after an erasure: of the identity code, of the "
        "folded name with a postal address. They bind nobody while the person is here.",
    )
    known_by_mailbox: tuple[Sealed, ...] = Field(
        default=(), description="The same, of mailboxes without their tag (`eva+shop@` is `eva@`)."
    )
    aliases: tuple[UUID, ...] = Field(
        default=(),
        description="Ids of those who were merged into this customer: what binds them binds it, "
        "though their own records are not read yet.",
    )


class NamedPoint(EventPart):
    point: str = Field(max_length=64)
    channel_kind: PointKind
    value: str = Field(max_length=500)


class CompanyCustomer(Record):
    """A customer as one company is entitled to see it. Topic `company.<id>.customers`; opens no gate."""

    kind: ClassVar[str] = "company-customer"
    subject: Hash
    recipient: Recipient | None = None
    name: str | None = Field(default=None, max_length=400)
    language: str | None = None
    numbers: tuple[str, ...] = Field(default=(), description="This company's own customer numbers, in clear.")
    points: tuple[NamedPoint, ...] = ()
