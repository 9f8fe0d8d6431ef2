"""Applying what was said to what is known. Pure: nothing is read, nothing is written."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from kielto.events.words import PointKind, Recipient
from services.customers.model.customer import Customer, Customership, Point, Source
from services.customers.model.draft import Draft, DraftCustomership, DraftPoint, Speaker
from services.customers.model.problems import Problem, Refused

_PLAIN = ("recipient", "name", "language", "business_id", "birth_date", "deceased", "safety_ban", "duties")
_TAKES: dict[str, tuple[Recipient, ...]] = {
    "identity_code": (
        Recipient.NATURAL,
    ),  # only where identification matters: Data Protection Act section 29
    "business_id": (Recipient.LEGAL, Recipient.NATURAL),  # a sole trader is a natural person
    "birth_date": (Recipient.NATURAL, Recipient.CONTACT, Recipient.USER),
    "deceased": (Recipient.NATURAL, Recipient.CONTACT, Recipient.USER),
    "safety_ban": (Recipient.NATURAL, Recipient.CONTACT, Recipient.USER),
    "organisation": (Recipient.CONTACT,),
    "duties": (Recipient.CONTACT,),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is said: the time, and the day it is where the register is kept."""

    at: datetime
    today: date
    age_of_majority: int


def apply(
    old: Customer,
    draft: Draft,
    speaker: Speaker,
    moment: Moment,
    *,
    new_id: Callable[[], UUID],
    identity: bytes | None,
    organisation: UUID | None,
) -> Customer:
    """`old` changed by `draft`; equal to `old` when it says nothing new. Raises Refused.

    `identity` and `organisation` are what the draft's identity code and organisation were found to be.
    """
    values: dict[str, Any] = {name: getattr(draft, name) for name in _PLAIN if name in draft.stated}
    if "identity_code" in draft.stated:
        values["identity"] = identity
    if "organisation" in draft.stated:
        values["organisation"] = organisation
    if speaker.importing:
        _hold_back(old, values)
    if "points" in draft.stated:
        values["points"] = tuple(_points(old, draft.points, speaker, new_id))
    values["customerships"] = tuple(_customerships(old.customerships, draft.customerships, speaker))
    changed = {name: value for name, value in values.items() if value != getattr(old, name)}
    source = Source(speaker.name, moment.at.isoformat(timespec="seconds"))
    new = replace(
        old,
        **changed,
        minor=is_minor(changed.get("birth_date", old.birth_date), moment.today, moment.age_of_majority),
        sources={**old.sources, **dict.fromkeys(changed, source)},
    )
    check(new)
    return new


def is_minor(birth: date | None, today: date, age: int) -> bool:
    """Someone born on 29 February comes of age on 1 March in a common year: the later, safer day."""
    if birth is None:
        return False
    return (today.year - birth.year, today.month, today.day) < (age, birth.month, birth.day)


def _hold_back(old: Customer, values: dict[str, object]) -> None:
    """An import, perhaps an old one sent again, never takes back a death or a safety ban, nor changes what
    someone is.
    """
    if old.deceased:
        values.pop("deceased", None)
    if old.safety_ban:
        values.pop("safety_ban", None)
    if values.get("recipient", old.recipient) != old.recipient and old.sources:
        raise Refused([Problem("recipient", "is changed on the customer, not by an import")])


def _points(
    old: Customer, given: tuple[DraftPoint, ...], speaker: Speaker, new_id: Callable[[], UUID]
) -> Iterable[Point]:
    """The group's list is final; a company's list replaces what that company stated, and nobody else's.

    Nobody is shown an address under a safety ban, so a list without any address takes none away.
    """
    wanted = {p.key: p for p in given}
    hidden = old.safety_ban and not any(p.kind is PointKind.POST for p in given)
    for point in old.points:
        draft = wanted.pop(point.key, None)
        if draft is not None:
            yield _restated(point, draft, speaker)
        elif hidden and point.kind is PointKind.POST:
            yield point
        elif speaker.company is not None:
            others = tuple(h for h in point.holders if h != speaker.company)
            if others:
                sales = tuple(s for s in point.sales if s.seller != speaker.company)
                yield replace(point, holders=others, sales=sales)
    for draft in wanted.values():
        yield Point(
            id=new_id(),
            kind=draft.kind,
            value=draft.value,
            role_address=bool(draft.role_address),
            sales=draft.sales or (),
            holders=(speaker.name,),
        )


def _restated(point: Point, draft: DraftPoint, speaker: Speaker) -> Point:
    sales = point.sales
    if draft.sales is not None:
        others = () if speaker.company is None else (s for s in sales if s.seller != speaker.company)
        sales = tuple(sorted({*others, *draft.sales}))
    holders = point.holders
    if speaker.company is not None:
        holders = tuple(sorted({*holders, speaker.company}))
    role = point.role_address if draft.role_address is None else draft.role_address
    return replace(point, sales=sales, holders=holders, role_address=role)


def _customerships(
    old: tuple[Customership, ...], given: tuple[DraftCustomership, ...], speaker: Speaker
) -> Iterable[Customership]:
    wanted = {c.canonical: c for c in given}
    for customership in old:
        draft = wanted.pop(customership.canonical, None)
        yield _continued(customership, draft, speaker) if draft else customership
    for draft in wanted.values():
        yield Customership(draft.company, draft.number, draft.canonical, draft.since, draft.ended)


def _continued(old: Customership, draft: DraftCustomership, speaker: Speaker) -> Customership:
    """An ended customership begins again in an import only by a `since` after its end: an old file has
    none.
    """
    since = draft.since or old.since
    if not draft.states_end:
        again = old.ended is not None and draft.since is not None and draft.since > old.ended
        return replace(old, since=since, ended=None if again else old.ended)
    reopened = old.ended is not None and draft.ended is None
    if speaker.importing and reopened and not (draft.since and draft.since > (old.ended or draft.since)):
        return old
    return replace(old, since=since, ended=draft.ended)


def check(customer: Customer) -> None:
    """What each kind of recipient may and must have. Raises Refused."""
    problems = [
        Problem(field, f"is not kept of a customer of kind {customer.recipient}")
        for field, takers in _TAKES.items()
        if customer.recipient not in takers and _holds(customer, field)
    ]
    if customer.recipient is Recipient.CONTACT and customer.organisation is None:
        problems.append(Problem("organisation", "is named for a contact person"))
    if customer.organisation == customer.id:
        problems.append(Problem("organisation", "is another customer"))
    if len(customer.points) > 50:
        problems.append(Problem("points", "are at most 50 for one customer"))
    if len(customer.customerships) > 50:
        problems.append(Problem("customerships", "are at most 50 for one customer"))
    if problems:
        raise Refused(problems)


def _holds(customer: Customer, field: str) -> bool:
    return bool(getattr(customer, "identity" if field == "identity_code" else field))
