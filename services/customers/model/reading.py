"""Turn what was given into a draft: parse identifiers, contact points and dates with their libraries, and check names
against the group.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kielto.events.digests import InvalidContactPointError, is_of, normalise
from kielto.events.emails import written
from kielto.events.words import PointKind
from kielto.validation import FieldRule
from services.customers.model import addresses, identifiers
from services.customers.model.customer import StatedDuty, StatedSale
from services.customers.model.draft import (
    Draft,
    DraftCustomership,
    DraftPoint,
    OwnId,
    Reference,
    Speaker,
    Terms,
    UnreadablePoint,
)
from services.customers.model.given import (
    CustomerPatch,
    CustomerRef,
    Given,
    GivenCustomer,
    GivenCustomership,
    GivenPoint,
    GivenRow,
    NumberRef,
)
from services.customers.model.problems import CustomerRefusedError

_RESTRICTING = ("deceased", "safety_ban")


def read_customer(given: GivenCustomer | CustomerPatch, speaker: Speaker, terms: Terms, today: date) -> Draft:
    """Raises CustomerRefusedError with every problem found."""
    return _Reading(given, speaker, terms, today, speaker.company).draft(given.customerships or ())


def read_row(
    given: GivenRow,
    company: str,
    scope: str | None,
    terms: Terms,
    today: date,
    *,
    country: str | None = None,
    places: Sequence[int] | None = None,
) -> Draft:
    """Read a row of `company`'s import, sent by a caller of company `scope` (None: the whole group). Raises
    CustomerRefusedError.

    `country`: the import's. `places`: where each of the points stood in the row, when some had no shape at all.
    """
    ref: dict[str, Any] = {k: getattr(given, k) for k in ("since", "ended") if k in given.model_fields_set}
    own = GivenCustomership.model_construct(company=company, number=given.number, **ref)
    speaker = Speaker(company, importing=True)
    reading = _Reading(given, speaker, terms, today, scope, "", given.country, country, places)
    return reading.draft((own,), given.same_as)


@dataclass(slots=True)
class _Reading:
    """Collects problems while it reads, so that a caller hears of all of them at once."""

    given: Given | CustomerPatch
    speaker: Speaker
    terms: Terms
    today: date
    scope: str | None
    """The only company whose customers may be referred to; None: any."""
    path: str = "customerships.{}."
    """Where a customership's fields stand in what was given."""
    row_country: str | None = None
    import_country: str | None = None
    places: Sequence[int] | None = None
    problems: list[FieldRule] = field(default_factory=list)
    unreadable: list[UnreadablePoint] = field(default_factory=list)

    def draft(self, customerships: tuple[GivenCustomership, ...], same_as: NumberRef | None = None) -> Draft:
        given = self.given
        code, birth = self._identity()
        stated = given.model_fields_set | ({"birth_date"} if birth else set())
        if isinstance(given, Given):  # a form's default takes nothing back: only a change does
            stated -= {field for field in _RESTRICTING if not getattr(given, field)}
        draft = Draft(
            stated=frozenset(stated),
            recipient=given.recipient,
            name=given.name,
            language=given.language,
            identity_code=code,
            business_id=self._business_id(),
            birth_date=birth,
            deceased=bool(given.deceased),
            safety_ban=bool(given.safety_ban),
            organisation=self._customer("organisation", given.organisation),
            person=self._customer("person", given.person),
            duties=tuple(self._duties()),
            points=self._points(customerships),
            customerships=tuple(self._customership(i, c) for i, c in enumerate(customerships)),
            same_as=self._number("same_as.", same_as, self.scope) if same_as else None,
            reason=self._reason(),
            unreadable=tuple(self.unreadable),
        )
        if self.problems:
            raise CustomerRefusedError(self.problems)
        return draft

    def _problem(self, field: str, rule: str) -> None:
        self.problems.append(FieldRule(field, rule))

    def _past(self, field: str, day: date | None) -> None:
        if day and day > self.today:
            self._problem(field, "must not be in the future")

    def _identity(self) -> tuple[str | None, date | None]:
        birth = self.given.birth_date
        self._past("birth_date", birth)
        if self.given.identity_code is None:
            return None, birth
        try:
            code, coded = identifiers.identity_code(self.given.identity_code, self.today)
        except identifiers.InvalidIdentifierError as error:
            self._problem("identity_code", str(error))
            return None, birth
        if birth and birth != coded:
            self._problem("birth_date", "must agree with the identity code")
        return code, coded

    def _business_id(self) -> str | None:
        if self.given.business_id is None:
            return None
        try:
            read = identifiers.business_id(self.given.business_id)
        except identifiers.InvalidIdentifierError as error:
            self._problem("business_id", str(error))
            return None
        if read == self.terms.group.controller.business_id:
            self._problem("business_id", "is a business id of the group itself, not a customer's")
        return read

    def _known_company(self, field: str, company: str, own_only: str | None) -> bool:
        if company not in self.terms.group.company_ids:
            self._problem(field, "must be a company of the group")
        elif own_only and company != own_only:
            self._problem(field, "must be the caller's company")
        else:
            return True
        return False

    def _number(self, path: str, ref: NumberRef, own_only: str | None) -> str:
        """The canonical form, `<company>:<number>`; a wrong company is a problem."""
        self._known_company(f"{path}company", ref.company, own_only)
        try:
            return normalise(PointKind.NUMBER, f"{ref.company}:{ref.number}")
        except InvalidContactPointError:
            self._problem(f"{path}number", "must be a customer number")
            return ""

    def _customer(self, field: str, ref: CustomerRef | None) -> Reference | None:
        """Read a reference to a customer. Whether the customer exists is checked later, in the same way for everyone
        whom the caller may not refer to.
        """
        if isinstance(ref, NumberRef):
            return self._number(f"{field}.", ref, self.scope)
        return OwnId(ref) if isinstance(ref, str) else ref

    def _reason(self) -> str | None:
        reason = getattr(self.given, "reason", None)
        if reason and self.speaker.company is not None:
            self._problem("reason", "is only for callers for the whole group")
        return reason

    def _duties(self) -> Iterable[StatedDuty]:
        known = {g for c in self.terms.group.companies for g in c.product_groups}
        for i, duty in enumerate(self.given.duties or ()):
            if duty.product_group not in known:
                self._problem(f"duties.{i}.product_group", "must be a product group of the group")
            yield StatedDuty(duty.product_group, duty.evidence)

    def _customership(self, i: int, given: GivenCustomership) -> DraftCustomership:
        path = self.path.format(i)
        self._past(f"{path}since", given.since)
        self._past(f"{path}ended", given.ended)
        if given.since and given.ended and given.ended < given.since:
            self._problem(f"{path}ended", "must not be before since")
        canonical = self._number(path, given, self.speaker.company)
        stated = "ended" in given.model_fields_set
        return DraftCustomership(given.company, given.number, canonical, given.since, given.ended, stated)

    def _points(self, customerships: tuple[GivenCustomership, ...]) -> tuple[DraftPoint, ...]:
        assumed = self.import_country or self._company_country(customerships)
        posts = self.row_country or assumed
        phones = self.row_country or self._address_country() or assumed
        points: dict[tuple[PointKind, str], DraftPoint] = {}
        for i, given in enumerate(self.given.points or ()):
            path = f"points.{self.places[i] if self.places else i}"
            value = self._value(path, given, posts if given.kind is PointKind.POST else phones)
            sales = self._sales(f"{path}.sales", given)
            if value is not None:
                # The same address given twice is one contact point; the later one counts.
                point = DraftPoint(given.kind, value, given.role_address, sales)
                points[point.key] = point
        return tuple(points.values())

    def _address_country(self) -> str | None:
        addresses_given = (p.address for p in self.given.points or () if p.address)
        return next((a.country for a in addresses_given if a.country), None)

    def _company_country(self, customerships: tuple[GivenCustomership, ...]) -> str:
        company = self.speaker.company or (customerships[0].company if customerships else None)
        known = {c.id: c.country for c in self.terms.group.companies}
        return known.get(company or "", self.terms.group.companies[0].country)

    def _value(self, path: str, given: GivenPoint, country: str) -> str | None:
        takes = "address" if given.kind is PointKind.POST else "value"
        other = "value" if takes == "address" else "address"
        if getattr(given, takes) is None or getattr(given, other) is not None:
            self._problem(path, f"must have {takes} and no {other} for kind {given.kind}")
            return None
        try:
            return addresses.to_text(given.address, country) if given.address else self._read(given, country)
        except addresses.InvalidAddressError as error:
            field, _, rule = str(error).partition(": ")
            self._unread(given, f"{path}.address.{field}", rule)
        except InvalidContactPointError as error:
            self._unread(given, f"{path}.value", str(error).partition(": ")[2])
        return None

    def _read(self, given: GivenPoint, country: str) -> str:
        """Raises InvalidContactPointError. A number that an import leaves without its country must be one that exists
        in the country that was assumed: else it is read as some stranger's.
        """
        value = given.value or ""
        read = normalise(given.kind, value, country)
        if given.kind is PointKind.PHONE and self.speaker.importing and not is_of(value, country):
            raise InvalidContactPointError(
                f"phone: must be a number in use in {country}, the country assumed for it"
            )
        return written(value) if given.kind is PointKind.EMAIL else read

    def _unread(self, given: GivenPoint, field: str, rule: str) -> None:
        """Handle a contact point that cannot be read: refuse it at a desk; take an import's row without it."""
        if not self.speaker.importing:
            self._problem(field, rule)
            return
        kept = given.address.model_dump_json(exclude_none=True) if given.address else json.dumps(given.value)
        self.unreadable.append(UnreadablePoint(given.kind, field, rule, kept))

    def _sales(self, path: str, given: GivenPoint) -> tuple[StatedSale, ...] | None:
        if given.sales is None:
            return None
        for i, sale in enumerate(given.sales):
            self._past(f"{path}.{i}.date", sale.date)
            if not self._known_company(f"{path}.{i}.seller", sale.seller, self.speaker.company):
                continue
            if sale.product_group not in self.terms.group.company(sale.seller).product_groups:
                self._problem(f"{path}.{i}.product_group", "must be a product group of the seller")
        return tuple(
            sorted({StatedSale(s.seller, s.date, s.product_group, s.ban_offered) for s in given.sales})
        )
