"""The records that say what is allowed: one for our services, one for each company and partner that knows the person.

A party's record lists every contact point that it has, under its own ids and hashes, and at each what is allowed, maybe
nothing: so a reader tells somebody who is denied from somebody whom the party does not know.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import product
from typing import Any
from uuid import UUID

from kielto.events.party import Party
from kielto.events.records import (
    Allow,
    AllowedPoint,
    CompanyPermissions,
    CustomerPermissions,
    Permissions,
    Record,
)
from kielto.events.topics import CONSENTS
from kielto.events.words import CHANNELS_OF, Channel, Mode, PointKind, Purpose, Status
from kielto.service.support.crypto_keys import Keys
from services.consents.model.coverage import both
from services.consents.model.decisions import RecordedDecision
from services.consents.model.derived import partner_view
from services.consents.model.facts import CustomerFacts, PointFacts
from services.consents.model.ruling import CellPermission, Groups
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions

UNVERSIONED = "0.0"

Allowance = tuple[Purpose, str | None, Mode | None, Groups]
"""Purpose, partner, mode, and the product groups that it holds for."""
Place = tuple[UUID, Channel]
"""A contact point, and a channel on which it is reached."""
Allowed = dict[Place, tuple[Allowance, ...]]


class PersonRecords:
    """The records of one person: the same permissions under each of their ids."""

    def __init__(
        self, permissions: PersonPermissions, keys: Keys, at: datetime, decision: RecordedDecision | None
    ) -> None:
        self._permissions, self._keys, self._at = permissions, keys, at
        self._root = permissions.person.root
        self._decision = decision.id if decision else None
        self._by_company = _allowed(permissions.cells, self._root)
        ids = {p.id: str(p.id) for p in self._root.points}
        self._internal = tuple(
            CompanyPermissions(company=company, points=_listed(allowed, ids))
            for company, allowed in self._by_company.items()
        )
        self._points: dict[str, tuple[AllowedPoint, ...]] = {}
        self._digests: dict[bytes, bytes | None] = {}

    def of(self, customer: CustomerFacts, family: str, key: str, *, gone: bool = False) -> Record:
        """A customer's record in one family, without version. `gone`: the party has left, so it allows nothing."""
        internal = family == CONSENTS.name
        if customer.status is Status.ERASED:
            if internal:
                return CustomerPermissions(subject=customer.id, version=UNVERSIONED, status=Status.ERASED)
            return Permissions(subject=key, version=UNVERSIONED, status=Status.ERASED)
        own = customer.id == self._root.id and not customer.alias_of
        status = Status.LIVE if own else Status.ALIAS
        if internal:
            return CustomerPermissions(
                subject=customer.id,
                version=UNVERSIONED,
                status=status,
                changed_at=self._at,
                recipient=self._root.recipient,
                companies=self._internal,
                restrictions=self._permissions.listed,
                decision=self._decision,
            )
        return Permissions(
            subject=key,
            version=UNVERSIONED,
            status=status,
            changed_at=self._at,
            recipient=self._root.recipient,
            numbers=() if gone else self._numbers(customer, family),
            points=() if gone else self._of_party(family),
            decision=self._keys.pairwise(family, self._decision) if self._decision and not gone else None,
        )

    def _of_party(self, party: str) -> tuple[AllowedPoint, ...]:
        if party not in self._points:
            whose = Party(party)
            held, allowed = self._held(whose.id) if whose.is_company else self._of_partner(whose.id)
            places = {(p.id, channel): () for p in held for channel in CHANNELS_OF[p.kind]}
            addresses = {p.id: self._address(party, p) for p in held}
            self._points[party] = _listed(places | allowed, addresses)
        return self._points[party]

    def _held(self, company: str) -> tuple[tuple[PointFacts, ...], Allowed]:
        return self._root.points_of(company), self._by_company.get(company, {})

    def _of_partner(self, partner: str) -> tuple[tuple[PointFacts, ...], Allowed]:
        """What the companies have that disclosed the person to it, and where each of them allows."""
        disclosed = self._permissions.disclosed
        having = {p.id: p for c, to in disclosed if to == partner for p in self._root.points_of(c)}
        held = tuple(p for p in self._root.points if p.id in having)
        cells = partner_view(self._permissions.cells, partner, disclosed)
        return held, _alike({place: kinds for _, place, kinds in _kinds(cells)}, held)

    def _address(self, party: str, point: PointFacts) -> str | None:
        if point.kind is PointKind.POST:
            return self._keys.pairwise(party, point.id)
        return self._hash(party, point.ref) if point.ref else None

    def _numbers(self, customer: CustomerFacts, party: str) -> tuple[str, ...]:
        """The company's own numbers of the person: by any of them it may ask."""
        both = {
            c.ref
            for x in (customer, self._root)
            for c in x.customerships
            if party == Party.company(c.company)
        }
        return tuple(sorted(h for ref in both if (h := self._hash(party, ref))))

    def _hash(self, party: str, ref: bytes) -> str | None:
        """The party's hash of the address; None if that is not encrypted under our key, so nobody can ask about it."""
        if ref not in self._digests:
            try:
                self._digests[ref] = self._keys.decrypt(ref.decode())
            except ValueError:
                self._digests[ref] = None
        digest = self._digests[ref]
        return None if digest is None else self._keys.point(party, digest)


def _allowed(cells: Iterable[CellPermission], root: CustomerFacts) -> dict[str, Allowed]:
    """What each company is allowed, by company; companies without any permission are left out."""
    by_company: dict[str, Allowed] = {}
    for company, place, kinds in _kinds(cells):
        by_company.setdefault(company, {})[place] = kinds
    refs = [p.ref for p in root.points if p.ref is not None]
    if len(set(refs)) == len(refs):
        return by_company
    alike = ((company, _alike(allowed, root.points_of(company))) for company, allowed in by_company.items())
    return {company: common for company, common in alike if common}


def _kinds(cells: Iterable[CellPermission]) -> Iterator[tuple[str, Place, tuple[Allowance, ...]]]:
    """What each company is allowed at each place, all of it together."""
    found: dict[tuple[str, Place], list[Allowance]] = {}
    for cell, ruling in cells:
        if ruling.allowed:
            kind = (cell.purpose, cell.partner, cell.mode, ruling.product_groups)
            found.setdefault((cell.company, (cell.point, cell.channel)), []).append(kind)
    return ((company, place, tuple(kinds)) for (company, place), kinds in found.items())


def _alike(allowed: Allowed, points: Sequence[PointFacts]) -> Allowed:
    """Give contact points that are one address the same permissions: each of them has to allow."""
    ref_of = {p.id: p.ref or p.id for p in points}
    common: dict[tuple[bytes | UUID, Channel], tuple[Allowance, ...]] = {}
    for point, channel in product(ref_of, {channel for _, channel in allowed}):
        place, kinds = (ref_of[point], channel), allowed.get((point, channel), ())
        common[place] = _both(common[place], kinds) if place in common else kinds
    found = {(point, channel): common[ref_of[point], channel] for point, channel in allowed}
    return {place: kinds for place, kinds in found.items() if kinds}


def _both(one: tuple[Allowance, ...], other: tuple[Allowance, ...]) -> tuple[Allowance, ...]:
    others = {allowance[:3]: allowance[3] for allowance in other}
    common = ((*a[:3], both(a[3], others[a[:3]])) for a in one if a[:3] in others)
    return tuple(a for a in common if a[3] is None or a[3])


def _listed(allowed: Allowed, addresses: Mapping[UUID, str | None]) -> tuple[AllowedPoint, ...]:
    """The places of a record, sorted: equal permissions make equal records. A point without an address is left out."""
    places: dict[tuple[str | None, Channel], tuple[Allowance, ...]] = {}
    for (point, channel), kinds in allowed.items():
        address = addresses[point]
        places[address, channel] = kinds and places.get((address, channel), kinds)
    return tuple(
        AllowedPoint(point=address, channel=channel, allow=_allows(kinds))
        for (address, channel), kinds in sorted(places.items(), key=_in_order)
        if address is not None
    )


def _in_order(item: tuple[tuple[str | None, Channel], object]) -> tuple[str, Channel]:
    return item[0][0] or "", item[0][1]


@lru_cache(maxsize=4096)
def _allows(kinds: tuple[Allowance, ...]) -> tuple[Allow, ...]:
    """The allowances of a place. The result is cached, because most people are allowed the same things."""
    return tuple(
        Allow(
            purpose=purpose,
            partner=partner,
            mode=mode,
            product_groups=None if groups is None else tuple(sorted(groups)),
        )
        for purpose, partner, mode, groups in kinds
    )


def flat(body: Mapping[str, Any]) -> dict[tuple[Any, ...], frozenset[str] | None]:
    """Everything that a stored record of either kind allows, each with its product groups (None: all)."""
    lists = [("", body.get("points", ())), *((c["company"], c["points"]) for c in body.get("companies", ()))]
    return {
        (company, at["point"], at["channel"], it["purpose"], it.get("partner"), it.get("mode")): _groups(it)
        for company, points in lists
        for at in points
        for it in at["allow"]
    }


def _groups(allow: Mapping[str, Any]) -> frozenset[str] | None:
    groups = allow.get("product_groups")
    return None if groups is None else frozenset(groups)
