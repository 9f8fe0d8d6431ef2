"""What the others learn of a customer: our own services a record without addresses, a company its own
customer.
"""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from kielto.events.digests import digest, digest_of
from kielto.events.records import (
    CompanyCustomer,
    CustomerPoint,
    CustomershipOf,
    NamedPoint,
    SaleOf,
)
from kielto.events.records import Customer as CustomerRecord
from kielto.events.words import PointKind, Status
from services.customers.model import addresses
from services.customers.model.customer import Customer, Point

UNVERSIONED = "0.0"
"""The outbox gives a record its version."""


class PartyKeys(Protocol):
    """How a party names a customer, an address and a contact point: hashes that no other party can join."""

    def pairwise(self, party: str, ident: UUID) -> str: ...
    def point(self, party: str, canonical: bytes) -> str: ...


def record(customer: Customer, seal: Callable[[bytes], str]) -> CustomerRecord:
    """For consents and marketing: sealed digests, never an address."""
    return CustomerRecord(
        version=UNVERSIONED,
        subject=customer.id,
        recipient=customer.recipient,
        deceased=customer.deceased,
        minor=customer.minor,
        safety_ban=customer.safety_ban,
        organisation=customer.organisation,
        duties=tuple(sorted({d.product_group for d in customer.duties})),
        points=tuple(
            CustomerPoint(
                id=p.id,
                kind_of=p.kind,
                digest=None if p.kind is PointKind.POST else seal(digest_of(p.kind, p.value)),
                role_address=p.role_address,
                sales=tuple(
                    SaleOf(
                        seller=s.seller,
                        date=s.date.isoformat(),
                        product_group=s.product_group,
                        ban_offered=s.ban_offered,
                    )
                    for s in p.sales
                ),
            )
            for p in sorted(customer.points, key=_by_id)
        ),
        customerships=tuple(
            CustomershipOf(
                company=c.company, digest=seal(digest(PointKind.NUMBER, c.canonical)), active=c.active
            )
            for c in sorted(customer.customerships, key=lambda c: c.canonical)
        ),
        aliases=customer.aliases,
    )


def alias(customer: Customer, survivor: UUID, seal: Callable[[bytes], str]) -> CustomerRecord:
    """The last record of one merged away: as it was, so that what was said by its numbers, and agreed to at its
    addresses, is still known to have been.
    """
    return record(customer, seal).model_copy(update={"status": Status.ALIAS, "alias_of": survivor})


def alias_for(customer: Customer, company: str, keys: PartyKeys) -> CompanyCustomer:
    """Its own numbers alone: by them `company` finds the survivor, whose record has them too."""
    numbers = tuple(sorted(c.number for c in customer.customerships if c.company == company))
    subject = keys.pairwise(f"company.{company}", customer.id)
    return CompanyCustomer(version=UNVERSIONED, subject=subject, status=Status.ALIAS, numbers=numbers)


def entitled(customer: Customer, company: str, keys: PartyKeys) -> CompanyCustomer:
    """What `company` may hold: while a customership is in force, name, language and contact points; always
    its own numbers, so that it can still name a former customer. A safety ban hides the postal
    addresses.
    """
    party = f"company.{company}"
    subject = keys.pairwise(party, customer.id)
    numbers = tuple(sorted(c.number for c in customer.customerships if c.company == company))
    if not customer.active_in(company):
        return CompanyCustomer(version=UNVERSIONED, subject=subject, numbers=numbers)
    return CompanyCustomer(
        version=UNVERSIONED,
        subject=subject,
        recipient=customer.recipient,
        name=customer.name,
        language=customer.language,
        numbers=numbers,
        points=tuple(
            _named(p, party, keys)
            for p in sorted(customer.points, key=_by_id)
            if not (customer.safety_ban and p.kind is PointKind.POST)
        ),
    )


def _named(point: Point, party: str, keys: PartyKeys) -> NamedPoint:
    if point.kind is PointKind.POST:
        value = addresses.as_lines(point.value)
        return NamedPoint(point=keys.pairwise(party, point.id), channel_kind=point.kind, value=value)
    hashed = keys.point(party, digest_of(point.kind, point.value))
    return NamedPoint(point=hashed, channel_kind=point.kind, value=point.value)


def restricts(old: Customer, new: Customer) -> bool:
    """Whether the change may take a permission away: then it travels on the express lane."""
    return (
        (new.deceased and not old.deceased)
        or (new.minor and not old.minor)
        or (new.safety_ban and not old.safety_ban)
        or new.recipient != old.recipient
        or new.organisation != old.organisation
        or not _product_groups(old) <= _product_groups(new)
        or not _claims(old) <= _claims(new)
        or not _active(old) <= _active(new)
    )


def _product_groups(customer: Customer) -> set[str]:
    return {d.product_group for d in customer.duties}


def _claims(customer: Customer) -> set[object]:
    """Every ground that a contact point gives, each as one thing that can be missing afterwards."""
    grounds: set[object] = set()
    for point in customer.points:
        address = (point.id, point.role_address)
        grounds.add(address)
        grounds.update((address, sale) for sale in point.sales)
    return grounds


def _active(customer: Customer) -> set[str]:
    return {c.canonical for c in customer.customerships if c.active}


def _by_id(point: Point) -> UUID:
    return point.id
