"""State records: full state under one key, never a difference; of each point only what is allowed is listed.

Absent or empty means denied. Words a reader does not know (a new channel, a new purpose) stay plain text here: what
nobody asks for permits nothing.
"""

from typing import ClassVar, Self
from uuid import UUID

from pydantic import Field, model_validator

from kielto.events.base import EncryptedDigest, Event, EventPart, Hash, Ident, Moment, VersionText
from kielto.events.versions import Version
from kielto.events.words import PointKind, Recipient, Status


class Allow(EventPart):
    """One permission at a contact point on a channel."""

    purpose: str
    partner: Ident | None = None
    mode: str | None = None
    product_groups: tuple[str, ...] | None = Field(
        default=None, description="The product groups that it is limited to. Null: all."
    )


class AllowedPoint(EventPart):
    point: str = Field(
        max_length=64, description="The party's hash of the address; for post, the id of the address."
    )
    channel: str
    allow: tuple[Allow, ...] = Field(description="What is permitted there. Empty: nothing.")


class Record(Event):
    """What every state record has. A record with status `erased` has only key, version and status."""

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
    """What one company or partner may say to a customer. Topics `<party>.restrictions|permissions`."""

    kind: ClassVar[str] = "permissions"
    subject: Hash
    recipient: Recipient | None = None
    numbers: tuple[Hash, ...] = Field(
        default=(), description="The company's hashes of its own customer numbers."
    )
    points: tuple[AllowedPoint, ...] = Field(
        default=(),
        description="Every contact point that the party has of the customer, on each of its channels, with or "
        "without a permission. An address that no record lists is unknown.",
    )
    valid_until: Moment | None = Field(
        default=None, description="From this time on everything is denied. It never permits anything."
    )
    decision: Hash | None = Field(
        default=None, description="The party's reference of the decision that led to this record."
    )


class CompanyPermissions(EventPart):
    company: Ident
    points: tuple[AllowedPoint, ...]


class CustomerPermissions(Record):
    """A customer's permissions in all companies, for Kielto's services only. Topics `consents.restrictions|state`."""

    kind: ClassVar[str] = "customer-permissions"
    subject: UUID
    recipient: Recipient | None = None
    companies: tuple[CompanyPermissions, ...] = ()
    restrictions: tuple[UUID, ...] = Field(default=(), description="Ids of the restrictions in force.")
    decision: UUID | None = None


class SaleOf(EventPart):
    """The sale in connection with which a contact point was obtained (917/2014, section 200, subsection 3)."""

    seller: Ident
    date: str = Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")
    product_group: str
    ban_offered: bool = False


class CustomerPoint(EventPart):
    """A contact point. What one company states about it holds for that company alone."""

    id: UUID
    kind_of: PointKind
    digest: EncryptedDigest | None = Field(
        default=None, description="Encrypted canonical digest. None for post."
    )
    role_address: bool = Field(
        default=False,
        description="Whether the group states that the address belongs to a task in an organisation.",
    )
    role_address_in: tuple[Ident, ...] = Field(
        default=(), description="Companies for which the address belongs to a task, because they state so."
    )
    holders: tuple[Ident, ...] = Field(
        default=(),
        description="The companies that state the point; no other company has it. Empty: the group states it, for "
        "every company that has this customer.",
    )
    sales: tuple[SaleOf, ...] = ()


class StatedBy(EventPart):
    """What one company states about the customer and the record states otherwise. It holds for that company alone."""

    company: Ident
    recipient: Recipient | None = None
    organisation: UUID | None = None
    duties: tuple[str, ...] = ()


class CustomershipOf(EventPart):
    company: Ident
    digest: EncryptedDigest = Field(
        description="Encrypted canonical digest of `<company>:<customer number>`."
    )
    active: bool = True


class Customer(Record):
    """What Kielto's services need of a customer, without any address. Topics `customers.restrictions|state`."""

    kind: ClassVar[str] = "customer"
    subject: UUID
    alias_of: UUID | None = None
    recipient: Recipient | None = None
    deceased: bool = False
    minor: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    duties: tuple[str, ...] = Field(
        default=(), description="Product groups within the evidenced duties of a contact person."
    )
    points: tuple[CustomerPoint, ...] = ()
    customerships: tuple[CustomershipOf, ...] = ()
    stated: tuple[StatedBy, ...] = Field(
        default=(),
        description="For each company that states another recipient, organisation or duties than the record, which has "
        "what the group or every company states.",
    )
    bound_by: tuple[UUID, ...] = Field(
        default=(),
        description="Ids of customers whose *no* binds this customer too: possibly the same person, or the person "
        "who is this contact person.",
    )
    known_by: tuple[EncryptedDigest, ...] = Field(
        default=(),
        description="Keyed hashes that recognise the person after an erasure: of the identity code, and of the folded "
        "name with a postal address. They have no effect while the person is in the register.",
    )
    known_by_mailbox: tuple[EncryptedDigest, ...] = Field(
        default=(), description="The same, of mailboxes without their tag (`eva@` for `eva+shop@`)."
    )
    aliases: tuple[UUID, ...] = Field(
        default=(),
        description="Ids of customers who were merged into this one. What binds them binds this customer, even before "
        "their own records are read.",
    )


class NamedPoint(EventPart):
    point: str = Field(max_length=64)
    channel_kind: PointKind
    value: str = Field(max_length=500)


class CompanyCustomer(Record):
    """A customer as one company is entitled to see it. Topic `<party>.customers`; it permits nothing."""

    kind: ClassVar[str] = "company-customer"
    subject: Hash
    recipient: Recipient | None = None
    name: str | None = Field(default=None, max_length=400)
    language: str | None = None
    numbers: tuple[str, ...] = Field(default=(), description="The company's own customer numbers, in clear.")
    points: tuple[NamedPoint, ...] = ()
