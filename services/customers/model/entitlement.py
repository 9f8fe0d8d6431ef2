"""What a company may see of a customer, change, and learn. HTTP, topics, imports, errors and entity tags all ask here.

A company sees what it stated itself and what the group stated; nothing of what another company states, not even that
one does. One exception restricts: an address that the group released is not shown under any safety ban.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from kielto.events.words import PointKind, Recipient
from services.customers.model.customer import (
    GROUP,
    Customership,
    Facts,
    RegisteredCustomer,
    StatedDuty,
    StatedSale,
)

EVERYBODY = None
"""The scope of a caller of the whole group."""

STRICTEST = (Recipient.USER, Recipient.NATURAL, Recipient.CONTACT, Recipient.LEGAL)
"""Where sources differ: the first may be marketed to least."""

_RESTRICTING = ("minor", "deceased", "safety_ban")
_VALUES = ("name", "language", "business_id", "birth_date", "organisation", "person", "duties")


@dataclass(frozen=True, slots=True)
class SeenPoint:
    """`value` None: an address under a safety ban."""

    id: UUID
    kind: PointKind
    value: str | None
    role_address: bool
    sales: tuple[StatedSale, ...]


@dataclass(frozen=True, slots=True)
class SeenCustomer:
    """A customer as one caller sees them. `sources`: by field who states the value shown, and since when."""

    id: UUID
    recipient: Recipient | None = None
    name: str | None = None
    language: str | None = None
    identity_code_known: bool = False
    business_id: str | None = None
    birth_date: date | None = None
    minor: bool = False
    deceased: bool = False
    safety_ban: bool = False
    organisation: UUID | None = None
    person: UUID | None = None
    duties: tuple[StatedDuty, ...] = ()
    points: tuple[SeenPoint, ...] = ()
    customerships: tuple[Customership, ...] = ()
    sources: tuple[tuple[str, str, str], ...] = ()
    statements: tuple[tuple[str, Facts], ...] = ()


def is_of(customer: RegisteredCustomer, scope: str | None) -> bool:
    """Whether a caller may know that there is this customer: of a company, who is or was its customer."""
    return scope is EVERYBODY or scope in customer.companies


def may_change(customer: RegisteredCustomer, scope: str | None) -> bool:
    """Of its own statement anything; a former customer's customership alone."""
    return scope is EVERYBODY or customer.active_in(scope)


def seen_by(customer: RegisteredCustomer, scope: str | None) -> SeenCustomer:
    """By a company of a former customer: its own numbers, nothing else."""
    own = tuple(c for c in customer.customerships if scope in (EVERYBODY, c.company))
    if scope is not EVERYBODY and not customer.active_in(scope):
        return SeenCustomer(customer.id, customerships=own)
    told = _told(customer, scope)
    values = {f: next((v for v in (getattr(x, f) for _, x in told) if v), None) for f in _VALUES}
    flags = {f: any(getattr(x, f) for _, x in told) for f in _RESTRICTING}
    shown: dict[str, Any] = values | flags | {"duties": values["duties"] or ()}
    return SeenCustomer(
        id=customer.id,
        recipient=recipient_in(customer, scope),
        identity_code_known=any(x.identity for _, x in told),
        points=tuple(_points(customer, scope, hidden=flags["safety_ban"])),
        customerships=own,
        sources=tuple(_sources(told)),
        statements=tuple(sorted(customer.facts.items())) if scope is EVERYBODY else (),
        **shown,
    )


def revisions(
    old: RegisteredCustomer | None, new: RegisteredCustomer, before: dict[str, int]
) -> dict[str, int]:
    """By source the number that its entity tag shows: it moves when, and only when, what that one sees is another.
    The group sees every change.
    """
    after = {GROUP: before.get(GROUP, 0) + 1}
    for company in new.companies:
        same = old is not None and company in before and seen_by(old, company) == seen_by(new, company)
        after[company] = before.get(company, 0) + (0 if same else 1)
    return after


def recipient_in(customer: RegisteredCustomer, scope: str | None) -> Recipient:
    """The group's word, else the company's own, else a natural person; for the whole group the strictest of all."""
    group = customer.stated_by(GROUP).recipient
    if group:
        return group
    if scope is not EVERYBODY:
        return customer.stated_by(scope).recipient or Recipient.NATURAL
    said = {f.recipient for f in customer.facts.values() if f.recipient}
    return next((r for r in STRICTEST if r in said), Recipient.NATURAL)


def organisation_in(customer: RegisteredCustomer, scope: str) -> UUID | None:
    return customer.stated_by(GROUP).organisation or customer.stated_by(scope).organisation


def duties_in(customer: RegisteredCustomer, scope: str) -> tuple[str, ...]:
    duties = customer.stated_by(GROUP).duties or customer.stated_by(scope).duties
    return tuple(sorted({d.product_group for d in duties}))


def address_hidden(customer: RegisteredCustomer, scope: str | None) -> bool:
    """Whether the caller cannot see the addresses that it states itself."""
    if scope is EVERYBODY:
        return customer.safety_ban
    return any(f.safety_ban for _, f in _told(customer, scope))


def _told(customer: RegisteredCustomer, scope: str | None) -> list[tuple[str, Facts]]:
    """The statements that the caller may know, the one that counts first first."""
    group = [(GROUP, customer.stated_by(GROUP))] if GROUP in customer.facts else []
    others = [(s, f) for s, f in sorted(customer.facts.items()) if s != GROUP and scope in (EVERYBODY, s)]
    return group + others


def _sources(told: Iterable[tuple[str, Facts]]) -> Iterable[tuple[str, str, str]]:
    shown = set[str]()
    for source, facts in told:
        for field, at in sorted(facts.at.items()):
            if getattr(facts, field) and field not in shown:
                shown.add(field)
                yield field, source, at


def _points(customer: RegisteredCustomer, scope: str | None, *, hidden: bool) -> Iterable[SeenPoint]:
    # The order tells nothing, as ids would.
    for point in sorted(customer.points, key=lambda p: (p.kind, p.value)):
        post = point.kind is PointKind.POST
        if scope is EVERYBODY:
            role = any(c.role_address for c in point.statements.values())
            sales = point.sales
        elif not point.held_in(scope):
            continue
        elif post and customer.safety_ban and scope not in point.statements:
            continue  # the group released it, and somebody states a safety ban
        else:
            role = point.of_a_task(scope)
            sales = tuple(s for s in point.sales if s.seller == scope)
        yield SeenPoint(point.id, point.kind, None if post and hidden else point.value, role, sales)
