"""What the others learn of a customer: our own services a record without addresses, a company its own
customer.
"""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import NamedTuple
from uuid import UUID

from kielto.events.digests import digest
from kielto.events.party import Party
from kielto.events.records import CompanyCustomer, CustomerPoint, CustomershipOf, NamedPoint, SaleOf, StatedBy
from kielto.events.records import Customer as CustomerRecord
from kielto.events.words import PointKind, Recipient, Status
from kielto.service.support.crypto_keys import Keys
from services.customers.model import addresses, entitlement, linking
from services.customers.model.customer import GROUP, Point, RegisteredCustomer, point_key
from services.customers.model.entitlement import EVERYBODY, SeenPoint
from services.customers.model.names import folded

UNVERSIONED = "0.0"
"""The outbox gives a record its version."""


def record(customer: RegisteredCustomer, keys: Keys) -> CustomerRecord:
    """For consents and marketing: encrypted digests, never an address."""
    counts = {company: _in(customer, company) for company in customer.companies}
    common = _common(customer, counts.values())
    return CustomerRecord(
        version=UNVERSIONED,
        subject=customer.id,
        recipient=common.recipient,
        deceased=customer.deceased,
        minor=customer.minor,
        safety_ban=customer.safety_ban,
        organisation=common.organisation,
        duties=common.duties,
        points=tuple(_point(p, keys.encrypt) for p in sorted(customer.points, key=lambda p: p.id)),
        customerships=tuple(
            CustomershipOf(
                company=c.company, digest=keys.encrypt(digest(PointKind.NUMBER, c.canonical)), active=c.active
            )
            for c in sorted(customer.customerships, key=lambda c: c.canonical)
        ),
        stated=tuple(
            StatedBy(company=company, **stated._asdict())
            for company, stated in counts.items()
            if stated != common
        ),
        bound_by=linking.bound_by(customer),
        known_by=_known_by(customer, keys),
        known_by_mailbox=_known_by_mailbox(customer, keys),
        aliases=customer.aliases,
    )


class _Counts(NamedTuple):
    """What counts of a customer in a company, or for all."""

    recipient: Recipient
    organisation: UUID | None
    duties: tuple[str, ...]


def _in(customer: RegisteredCustomer, company: str) -> _Counts:
    return _Counts(
        entitlement.recipient_in(customer, company),
        entitlement.organisation_in(customer, company),
        entitlement.duties_in(customer, company),
    )


def _everywhere(customer: RegisteredCustomer) -> _Counts:
    return _common(customer, [_in(customer, company) for company in customer.companies])


def _common(customer: RegisteredCustomer, counts: Iterable[_Counts]) -> _Counts:
    """What the group states, or every company does; else the strictest."""
    each = [*counts] or [_in(customer, GROUP)]
    organisations = {counts.organisation for counts in each}
    duties = set.intersection(*(set(counts.duties) for counts in each))
    return _Counts(
        entitlement.recipient_in(customer, EVERYBODY),
        organisations.pop() if len(organisations) == 1 else None,
        tuple(sorted(duties)),
    )


def _point(point: Point, encrypt: Callable[[bytes], str]) -> CustomerPoint:
    group = point.statements.get(GROUP)
    says = group is not None and group.role_address is not None
    companies = sorted(s for s in point.statements if s != GROUP)
    return CustomerPoint(
        id=point.id,
        kind_of=point.kind,
        digest=None if point.kind is PointKind.POST else encrypt(digest(*point.key)),
        role_address=bool(group and group.role_address),
        role_address_in=() if says else tuple(c for c in companies if point.statements[c].role_address),
        holders=() if group else tuple(companies),
        sales=tuple(SaleOf(**asdict(s) | {"date": s.date.isoformat()}) for s in point.sales),
    )


def _known_by(customer: RegisteredCustomer, keys: Keys) -> tuple[str, ...]:
    """Keyed hashes of what the person is known again by after an erasure: identity codes, also former ones; the name
    with a postal address.
    """
    found = {keys.known_by("identity_code", blind.hex()) for blind in customer.identities}
    names = {folded(f.name) for f in customer.facts.values() if f.name} - {""}
    for point in customer.points:
        if point.kind is PointKind.POST:
            found |= {
                keys.known_by("name_and_address", f"{name}\0{addresses.folded(point.value)}")
                for name in names
            }
    return tuple(sorted(found))


def _known_by_mailbox(customer: RegisteredCustomer, keys: Keys) -> tuple[str, ...]:
    emails = (p.key[1] for p in customer.points if p.kind is PointKind.EMAIL)
    return tuple(sorted({keys.known_by("mailbox", mailbox(email)) for email in emails}))


def mailbox(email: str) -> str:
    local, _, domain = email.casefold().rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


def alias(customer: RegisteredCustomer, survivor: UUID, keys: Keys) -> CustomerRecord:
    """The last record of one merged away: as it was, so that what was said by its numbers, and agreed to at its
    addresses, is still known to have been.
    """
    return record(customer, keys).model_copy(update={"status": Status.ALIAS, "alias_of": survivor})


def alias_for(customer: RegisteredCustomer, company: str, keys: Keys) -> CompanyCustomer:
    """Its own numbers alone: by them `company` finds the survivor, whose record has them too."""
    numbers = tuple(sorted(c.number for c in customer.customerships if c.company == company))
    subject = keys.pairwise(Party.company(company), customer.id)
    return CompanyCustomer(version=UNVERSIONED, subject=subject, status=Status.ALIAS, numbers=numbers)


def entitled(customer: RegisteredCustomer, company: str, keys: Keys) -> CompanyCustomer:
    """What `company` may hold (`entitlement`): while a customership is in force, name, language and contact points;
    always its own numbers, so that it can still name a former customer.
    """
    party = Party.company(company)
    seen = entitlement.seen_by(customer, company)
    return CompanyCustomer(
        version=UNVERSIONED,
        subject=keys.pairwise(party, customer.id),
        recipient=seen.recipient,
        name=seen.name,
        language=seen.language,
        numbers=tuple(sorted(c.number for c in seen.customerships)),
        points=tuple(_named(p, p.value, party, keys) for p in seen.points if p.value is not None),
    )


def _named(point: SeenPoint, value: str, party: str, keys: Keys) -> NamedPoint:
    if point.kind is PointKind.POST:
        named = keys.pairwise(party, point.id)
        return NamedPoint(point=named, channel_kind=point.kind, value=addresses.as_lines(value))
    hashed = keys.point(party, digest(*point_key(point.kind, value)))
    return NamedPoint(point=hashed, channel_kind=point.kind, value=value)


def restricts(old: RegisteredCustomer, new: RegisteredCustomer) -> bool:
    """Whether the change may take a permission away: then it travels on the express lane."""
    return (
        (new.deceased and not old.deceased)
        or (new.minor and not old.minor)
        or (new.safety_ban and not old.safety_ban)
        or not {*linking.bound_by(old)} >= {*linking.bound_by(new)}
        or any(_restricts_in(old, new, company) for company in (*old.companies, None))
    )


def _restricts_in(old: RegisteredCustomer, new: RegisteredCustomer, company: str | None) -> bool:
    before, after = (_in(x, company) if company else _everywhere(x) for x in (old, new))
    return (
        before.recipient != after.recipient
        or before.organisation != after.organisation
        or not {*before.duties} <= {*after.duties}
        or not _grounds(old, company) <= _grounds(new, company)
        or not _active(old) <= _active(new)
    )


def _grounds(customer: RegisteredCustomer, company: str | None) -> set[object]:
    """Every ground that a contact point gives in a company, each as one thing that can be missing afterwards."""
    grounds: set[object] = set()
    for point in customer.points:
        if company is None or point.held_in(company):
            address = (point.id, point.of_a_task(company or GROUP))
            grounds.add(address)
            grounds.update((address, sale) for sale in point.sales)
    return grounds


def _active(customer: RegisteredCustomer) -> set[str]:
    return {c.canonical for c in customer.customerships if c.active}
