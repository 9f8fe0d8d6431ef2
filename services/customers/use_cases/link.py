"""Find who may be the same person in the transaction that changes a customer, so that every published record names
whom it is bound by.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID

from kielto.events.words import PointKind
from kielto.service.database.pool import Conn
from kielto.service.support.crypto_keys import Keys
from services.customers.model import linking as rules
from services.customers.model.customer import RegisteredCustomer
from services.customers.model.draft import Draft
from services.customers.model.linking import MOST_HOLDERS, Crowded, Link, pairs, reachable
from services.customers.store import linking
from services.customers.store.encryption import BUSINESS, IDENTITY
from services.customers.store.linking import Held, Near, Pair
from services.customers.store.writing import ConcurrentChangeError
from services.customers.use_cases.context import CustomersContext


@dataclass(frozen=True, slots=True)
class Around:
    """The customers near those of a pass, as found before their rows were locked."""

    near: Near
    linked: Mapping[Pair, bool]
    apart: set[Pair]
    ids: frozenset[UUID]


def blinds_of(keys: Keys, draft: Draft) -> set[bytes]:
    """The blind indexes of everything in a draft that may link."""
    found = {keys.blind_index(*p.key) for p in draft.points if p.kind is not PointKind.POST}
    if draft.identity_code:
        found.add(keys.blind_index(IDENTITY, draft.identity_code))
    if draft.business_id:
        found.add(keys.blind_index(BUSINESS, draft.business_id))
    return found


async def look_around(
    conn: Conn, context: CustomersContext, drafts: Iterable[Draft], targets: set[UUID]
) -> Around:
    """Find who shares something with these. The statements are the same whether anybody is found or not."""
    blinds = {b for draft in drafts for b in blinds_of(context.keys, draft)}
    near = await linking.near(conn, blinds, targets)
    linked = await linking.linked(conn, targets)
    apart = await linking.apart(conn, targets)
    ids = {i for holders in near.holders.values() for i in holders} | {i for pair in linked for i in pair}
    return Around(near, linked, apart, frozenset(ids - targets))


async def check_complete(
    conn: Conn, around: Around, customers: Iterable[RegisteredCustomer], targets: set[UUID]
) -> None:
    """Raises ConcurrentChangeError when somebody was linked to one of them, or came to share a contact point or an
    identifier with one, before they were locked: begin again. Whoever comes later waits for these locks.
    """
    if not targets:
        return
    near = await linking.near(conn, (), targets)
    sharing = {i for holders in near.holders.values() for i in holders}
    linked = {i for customer in customers if customer.id in targets for i in customer.links}
    if (sharing | linked) - around.ids - targets:
        raise ConcurrentChangeError


async def relink(
    conn: Conn,
    context: CustomersContext,
    around: Around,
    present: Mapping[UUID, RegisteredCustomer],
    changed: Iterable[UUID],
) -> dict[UUID, RegisteredCustomer]:
    """Keep the links of those who are `changed`; by id the customers of `present` whose links are other ones now."""
    changed = set(changed)
    put, drop = _decide(context.keys, around, present, changed) if context.link_duplicates else ({}, set())
    await linking.keep(conn, put, drop)
    gained, lost = defaultdict[UUID, set[UUID]](set), defaultdict[UUID, set[UUID]](set)
    for (one, other), link in put.items():
        for a, b in ((one, other), (other, one)):
            (gained if link.binds else lost)[a].add(b)
    for one, other in drop:
        lost[one].add(other)
        lost[other].add(one)
    moved: dict[UUID, RegisteredCustomer] = {}
    for ident in gained.keys() | lost.keys():
        if ident in present:
            customer = present[ident]
            links = (customer.links | gained[ident]) - lost[ident]
            if links != customer.links:
                moved[ident] = replace(customer, links=links)
    return moved


def _decide(
    keys: Keys, around: Around, present: Mapping[UUID, RegisteredCustomer], changed: set[UUID]
) -> tuple[dict[Pair, Link], set[Pair]]:
    holders, crowded = _holders(keys, around.near, present, changed)
    wanted = {pair for pair in around.linked if pair[0] in changed or pair[1] in changed}
    for ident in changed:
        for blind in _blinds(keys, present[ident]):
            wanted |= pairs((ident, other) for other in holders[blind] if other != ident)
    put: dict[Pair, Link] = {}
    drop: set[Pair] = set()
    for pair in wanted - around.apart:
        one, other = (present.get(ident) for ident in pair)
        if one is None or other is None:
            continue  # erased, or merged: what is known of it stays
        bound = around.linked.get(pair, False)
        link = rules.link(one, other, crowded, linked=bound)
        if bound and not (link and link.binds) and rules.stays(one, other):
            continue
        if link is not None:
            put[pair] = link
        elif pair in around.linked:
            drop.add(pair)
    return put, drop


def _holders(
    keys: Keys, near: Near, present: Mapping[UUID, RegisteredCustomer], changed: set[UUID]
) -> tuple[Mapping[bytes, set[UUID]], frozenset[Crowded]]:
    """By blind index who holds it once the changes are made; and the contact points of which one source states very
    many: those count for nobody, and the others' do.
    """
    by_source = defaultdict[Held, set[UUID]](set, {held: set(ids) for held, ids in near.holders.items()})
    points: dict[bytes, tuple[PointKind, str]] = {}
    for ident in changed:
        for point in present[ident].points:
            if point.kind is not PointKind.POST:
                blind = keys.blind_index(*point.key)
                points[blind] = point.key
                by_source[blind, point.source].add(ident)
        for blind in _identifiers(keys, present[ident]):
            by_source[blind, None].add(ident)
    many = near.crowded | {h for h, ids in by_source.items() if h[1] is not None and len(ids) > MOST_HOLDERS}
    holders = defaultdict[bytes, set[UUID]](set)
    for (blind, source), ids in by_source.items():
        if (blind, source) not in many:
            holders[blind] |= ids
    return holders, frozenset((points[b], s) for b, s in many if b in points and s is not None)


def no_longer(keys: Keys, old: RegisteredCustomer | None, new: RegisteredCustomer) -> set[bytes]:
    """The keys that linked `old` and do not link `new`."""
    return _blinds(keys, old) - _blinds(keys, new) if old else set()


def _blinds(keys: Keys, customer: RegisteredCustomer) -> set[bytes]:
    return {keys.blind_index(*point) for point in reachable(customer)} | _identifiers(keys, customer)


def _identifiers(keys: Keys, customer: RegisteredCustomer) -> set[bytes]:
    business = {f.business_id for f in customer.facts.values() if f.business_id}
    return {*customer.identities} | {keys.blind_index(BUSINESS, b) for b in business}
