"""The records that say what is allowed: one for our services, one for each company and partner that knows the person.

Only what is allowed is listed, under the party's own ids and hashes; absent means denied.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import reduce
from typing import Any
from uuid import UUID

from kielto.events.records import (
    Allow,
    AllowedPoint,
    CompanyPermissions,
    CustomerPermissions,
    Permissions,
    Record,
)
from kielto.events.topics import CONSENTS
from kielto.events.words import PointKind, Status
from kielto.service.keys import Keys
from services.consents.model.coverage import both
from services.consents.model.decisions import Decision
from services.consents.model.facts import Customer, Point
from services.consents.model.ruling import Groups, Verdict
from services.consents.model.views import partner_view
from services.consents.use_cases.judge import Judged

UNVERSIONED = "0.0"

Kind = tuple[str, str | None, str | None]
"""Purpose, partner and mode."""


class Records:
    """The records of one person: the same permissions under each of their ids."""

    def __init__(self, judged: Judged, keys: Keys, at: datetime, decision: Decision | None) -> None:
        self._judged, self._keys, self._at = judged, keys, at
        self._root = judged.person.root
        self._decision = decision.id if decision else None
        self._by_company: dict[str, list[Verdict]] = defaultdict(list)
        for verdict in judged.verdicts:
            self._by_company[verdict.cell.company].append(verdict)
        own_ids = {p.id: str(p.id) for p in self._root.points}
        self._internal = tuple(
            CompanyPermissions.model_construct(company=company, points=points)
            for company, verdicts in self._by_company.items()
            if (points := _listed(verdicts, own_ids))
        )
        self._points: dict[str, tuple[AllowedPoint, ...]] = {}

    def of(self, customer: Customer, family: str, key: str) -> Record:
        """The record of one of the person's customers in one family, without its version."""
        if customer.status is Status.ERASED:
            return _erased(customer, family, key)
        status = Status.LIVE if customer.id == self._root.id and not customer.alias_of else Status.ALIAS
        if family == CONSENTS.name:
            return CustomerPermissions.model_construct(
                subject=customer.id,
                version=UNVERSIONED,
                status=status,
                changed_at=self._at,
                recipient=self._root.recipient,
                companies=self._internal,
                restrictions=tuple(sorted(self._judged.restrictions)),
                decision=self._decision,
            )
        return Permissions.model_construct(
            subject=key,
            version=UNVERSIONED,
            status=status,
            changed_at=self._at,
            recipient=self._root.recipient,
            numbers=self._numbers(customer, family),
            points=self._of_party(family),
            decision=self._keys.pairwise(family, self._decision) if self._decision else None,
        )

    def _of_party(self, party: str) -> tuple[AllowedPoint, ...]:
        if party not in self._points:
            kind, _, name = party.partition(".")
            verdicts: Iterable[Verdict] = self._by_company.get(name, ())
            if kind == "partner":
                verdicts = partner_view(self._judged.verdicts, name, self._judged.disclosed)
            self._points[party] = _listed(
                verdicts, {p.id: self._address(party, p) for p in self._root.points}
            )
        return self._points[party]

    def _address(self, party: str, point: Point) -> str | None:
        if point.kind is PointKind.POST:
            return self._keys.pairwise(party, point.id)
        return self._hash(party, point.ref) if point.ref else None

    def _numbers(self, customer: Customer, party: str) -> tuple[str, ...]:
        """The company's own numbers of the person: by any of them it may ask."""
        both = {
            c.ref for x in (customer, self._root) for c in x.customerships if party == f"company.{c.company}"
        }
        return tuple(sorted(h for ref in both if (h := self._hash(party, ref))))

    def _hash(self, party: str, ref: bytes) -> str | None:
        """None when it was not sealed under our key: what cannot be asked for is not allowed."""
        try:
            return self._keys.point(party, self._keys.open(ref.decode()))
        except ValueError:
            return None


def _erased(customer: Customer, family: str, key: str) -> Record:
    if family == CONSENTS.name:
        return CustomerPermissions.model_construct(
            subject=customer.id, version=UNVERSIONED, status=Status.ERASED
        )
    return Permissions.model_construct(subject=key, version=UNVERSIONED, status=Status.ERASED)


def _listed(verdicts: Iterable[Verdict], addresses: Mapping[UUID, str | None]) -> tuple[AllowedPoint, ...]:
    """What is allowed at each address, sorted, so that the same permissions always make the same record.

    `addresses`: by contact point; None cannot be asked for. Where two contact points are one address, both must allow.
    """
    allowed: dict[tuple[UUID, str], dict[Kind, Groups]] = defaultdict(dict)
    for cell, ruling in verdicts:
        if ruling.allowed:
            allowed[cell.point, cell.channel][cell.purpose, cell.partner, cell.mode] = ruling.product_groups
    points: dict[str, list[UUID]] = defaultdict(list)
    for point, address in addresses.items():
        if address is not None:
            points[address].append(point)
    listed = {
        (address, channel): reduce(_both, (allowed.get((p, channel), {}) for p in points[address]))
        for point, channel in allowed
        if (address := addresses[point]) is not None
    }
    return tuple(
        AllowedPoint.model_construct(point=address, channel=channel, allow=_allows(kinds))
        for (address, channel), kinds in sorted(listed.items())
        if kinds
    )


def _both(one: dict[Kind, Groups], other: dict[Kind, Groups]) -> dict[Kind, Groups]:
    common = {kind: both(one[kind], other[kind]) for kind in one if kind in other}
    return {kind: groups for kind, groups in common.items() if groups is None or groups}


def _allows(kinds: dict[Kind, Groups]) -> tuple[Allow, ...]:
    return tuple(
        Allow.model_construct(
            purpose=purpose,
            partner=partner,
            mode=mode,
            product_groups=None if groups is None else tuple(sorted(groups)),
        )
        for (purpose, partner, mode), groups in kinds.items()
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
