"""Applying what a source says to what it has stated. Pure: nothing is read, nothing is written.

Nobody changes what another source states, but for the group's role: it may take back a restricting fact of a company,
with a reason, and its list of contact points is final.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from kielto.events.words import PointKind, Recipient
from kielto.validation import FieldRule
from services.customers.model import entitlement
from services.customers.model.customer import (
    GROUP,
    NOTHING,
    Customership,
    Facts,
    Point,
    PointStatement,
    RegisteredCustomer,
    TakenBack,
)
from services.customers.model.draft import Draft, DraftCustomership, DraftPoint, Speaker
from services.customers.model.problems import CustomerRefusedError, refused

_PLAIN = ("recipient", "name", "language", "business_id", "birth_date", "deceased", "safety_ban", "duties")
_PERSONS = (Recipient.NATURAL, Recipient.CONTACT, Recipient.USER)
_TAKES: dict[str, tuple[Recipient, ...]] = {
    # Only where identification matters: Data Protection Act section 29.
    "identity_code": (Recipient.NATURAL,),
    "business_id": (Recipient.LEGAL, Recipient.NATURAL),  # a sole trader is a natural person
    "birth_date": _PERSONS,
    "deceased": _PERSONS,
    "safety_ban": _PERSONS,
    "organisation": (Recipient.CONTACT,),
    "person": (Recipient.CONTACT,),
    "duties": (Recipient.CONTACT,),
}
_MOST = 50
_NO_REASON = "is required to take back a death, minority, safety ban or end that a company states"


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is said: the time, and the day it is where the register is kept."""

    at: datetime
    today: date
    age_of_majority: int

    @property
    def text(self) -> str:
        return self.at.isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Meant:
    """What a draft's identity code, organisation and person were found to be."""

    identity: bytes | None = None
    organisation: UUID | None = None
    person: UUID | None = None


def apply(
    old: RegisteredCustomer,
    draft: Draft,
    speaker: Speaker,
    moment: Moment,
    *,
    new_id: Callable[[], UUID],
    meant: Meant = Meant(),
) -> RegisteredCustomer:
    """`old` with the speaker's statement changed by `draft`; equal to `old` when it says nothing new. Raises
    CustomerRefusedError.
    """
    mine = old.stated_by(speaker.name)
    facts = dict(old.facts)
    if speaker.company is None:
        mine = _take_back(facts, mine, draft, moment)
    values = _values(old, mine, draft, speaker, meant)
    changed = {name: value for name, value in values.items() if value != getattr(mine, name)}
    said = replace(mine, **changed, at={**mine.at, **dict.fromkeys(changed, moment.text)})
    if said != NOTHING:
        facts[speaker.name] = said
    new = replace(
        old,
        facts={
            source: replace(f, minor=is_minor(f.birth_date, moment.today, moment.age_of_majority))
            for source, f in facts.items()
        },
        former=old.identities - {f.identity for f in facts.values()},
        points=_points(old, draft.points, speaker, new_id) if "points" in draft.stated else old.points,
        customerships=tuple(_customerships(old.customerships, draft, speaker)),
    )
    check(new, speaker)
    return new


def _values(
    old: RegisteredCustomer, mine: Facts, draft: Draft, speaker: Speaker, meant: Meant
) -> dict[str, Any]:
    values: dict[str, Any] = {name: getattr(draft, name) for name in _PLAIN if name in draft.stated}
    if not values.get("recipient") and _is_first(old, speaker):
        values["recipient"] = Recipient.NATURAL
    for name, field in (
        ("identity_code", "identity"),
        ("organisation", "organisation"),
        ("person", "person"),
    ):
        if name in draft.stated:
            values[field] = getattr(meant, field)
    if speaker.importing:
        _hold_back(mine, values)
    return values


def _is_first(old: RegisteredCustomer, speaker: Speaker) -> bool:
    """Whether the speaker says for the first time what somebody is. For a company no other company's word counts."""
    if speaker.company is None:
        return not old.facts
    return speaker.company not in old.facts and not old.stated_by(GROUP).recipient


def is_minor(birth: date | None, today: date, age: int) -> bool:
    """Someone born on 29 February comes of age on 1 March in a common year: the later, safer day."""
    if birth is None:
        return False
    return (today.year - birth.year, today.month, today.day) < (age, birth.month, birth.day)


def _hold_back(mine: Facts, values: dict[str, Any]) -> None:
    """An import, perhaps an old one sent again, never takes back a death or a safety ban, nor changes what
    someone is.
    """
    if mine.deceased:
        values.pop("deceased", None)
    if mine.safety_ban:
        values.pop("safety_ban", None)
    if mine.recipient and values.get("recipient", mine.recipient) != mine.recipient:
        raise refused("recipient", "cannot be changed by an import")


def _take_back(facts: dict[str, Facts], mine: Facts, draft: Draft, moment: Moment) -> Facts:
    """Take out of the companies' statements what the group says is not so; the group's own, which keeps the reason.
    Raises CustomerRefusedError without one.
    """
    adult = draft.birth_date and not is_minor(draft.birth_date, moment.today, moment.age_of_majority)
    said: dict[str, dict[str, Any]] = {
        "deceased": {"deceased": False} if "deceased" in draft.stated and not draft.deceased else {},
        "safety_ban": {"safety_ban": False} if "safety_ban" in draft.stated and not draft.safety_ban else {},
        "minor": {"birth_date": None, "minor": False} if adult and draft.reason else {},
    }
    for field, cleared in said.items():
        sources = [s for s, f in facts.items() if s != GROUP and getattr(f, field) and cleared]
        if sources and not draft.reason:
            raise refused("reason", _NO_REASON)
        for source in sources:
            facts[source] = replace(facts[source], **cleared)
        if sources and draft.reason:
            kept = TakenBack(field, tuple(sorted(sources)), draft.reason, moment.text)
            mine = replace(mine, taken_back=(*mine.taken_back, kept))
    return mine


def _points(
    old: RegisteredCustomer, given: tuple[DraftPoint, ...], speaker: Speaker, new_id: Callable[[], UUID]
) -> tuple[Point, ...]:
    """The group's list is final; a company's list replaces what that company stated, and nobody else's.

    Nobody is shown an address under a safety ban, so a list without any address takes none away.
    """
    wanted = {p.key: p for p in given}
    hidden = not any(p.kind is PointKind.POST for p in given) and entitlement.address_hidden(
        old, speaker.company
    )
    kept: list[Point] = []
    for point in old.points:
        draft = wanted.pop(point.key, None)
        if draft is not None:
            statements = _restated(point, draft, speaker)
        elif hidden and point.kind is PointKind.POST:
            statements = point.statements
        elif speaker.company is not None:
            statements = {s: c for s, c in point.statements.items() if s != speaker.company}
        else:
            statements = {}
        if statements:
            kept.append(replace(point, statements=statements))
    added = (
        Point(new_id(), d.kind, d.value, {speaker.name: PointStatement(d.role_address, d.sales or ())})
        for d in wanted.values()
    )
    return (*kept, *added)


def _restated(point: Point, draft: DraftPoint, speaker: Speaker) -> dict[str, PointStatement]:
    """The group restates a point for whoever holds it: it gives it to nobody else by that."""
    if speaker.company is None:
        holders = sorted(point.statements)
        return {
            s: _point_statement(c, draft, speaker, first=s == holders[0]) for s, c in point.statements.items()
        }
    mine = point.statements.get(speaker.name, PointStatement())
    return {**point.statements, speaker.name: _point_statement(mine, draft, speaker, first=True)}


def _point_statement(
    old: PointStatement, draft: DraftPoint, speaker: Speaker, *, first: bool
) -> PointStatement:
    role = old.role_address if draft.role_address is None else draft.role_address
    if draft.sales is None:
        return PointStatement(role, old.sales)
    if speaker.company is None and not first:
        return PointStatement(role)
    return PointStatement(role, draft.sales)


def _customerships(old: tuple[Customership, ...], draft: Draft, speaker: Speaker) -> Iterable[Customership]:
    wanted = {c.canonical: c for c in draft.customerships}
    for customership in old:
        given = wanted.pop(customership.canonical, None)
        yield _continued(customership, given, speaker, draft.reason) if given else customership
    for given in wanted.values():
        by = speaker.name if given.ended else None
        yield Customership(given.company, given.number, given.canonical, given.since, given.ended, by)


def _continued(
    old: Customership, draft: DraftCustomership, speaker: Speaker, reason: str | None
) -> Customership:
    """An ended customership begins again in an import only by a `since` after its end: an old file has none. An end
    that the group stated is taken back by the group alone, a company's end by the group with a reason.
    """
    since = draft.since or old.since
    later = old.ended is not None and draft.since is not None and draft.since > old.ended
    if draft.states_end and draft.ended:
        by = old.ended_by if old.ended == draft.ended else speaker.name
        return replace(old, since=since, ended=draft.ended, ended_by=by)
    if old.ended is None:
        return replace(old, since=since)
    if not draft.states_end or speaker.importing:
        again = later and old.ended_by != GROUP
        held = old if draft.states_end else replace(old, since=since)
        return replace(old, since=since, ended=None, ended_by=None) if again else held
    if speaker.company is not None and old.ended_by == GROUP:
        raise refused("customerships", "were ended by the group: only the group can reopen them")
    if speaker.company is None and old.ended_by != GROUP and not reason:
        raise refused("reason", _NO_REASON)
    return replace(old, since=since, ended=None, ended_by=None)


def check(customer: RegisteredCustomer, speaker: Speaker) -> None:
    """What each kind of recipient may and must have, in what the speaker states. Raises CustomerRefusedError."""
    mine = customer.stated_by(speaker.name)
    recipient = mine.recipient or entitlement.recipient_in(customer, speaker.company)
    problems = [
        FieldRule(field, f"must be absent for a customer of kind {recipient}")
        for field, takers in _TAKES.items()
        if recipient not in takers and _holds(mine, field)
    ]
    organisations = {mine.organisation, customer.stated_by(GROUP).organisation} - {None}
    if mine.recipient is Recipient.CONTACT and not organisations:
        problems.append(FieldRule("organisation", "is required for a contact person"))
    if mine.organisation == customer.id:
        problems.append(FieldRule("organisation", "must be another customer"))
    if mine.person == customer.id:
        problems.append(FieldRule("person", "must be another customer"))
    company = speaker.company
    if sum(company is None or company in p.statements for p in customer.points) > _MOST:
        problems.append(FieldRule("points", f"must be at most {_MOST} for one customer"))
    if sum(company in (None, c.company) for c in customer.customerships) > _MOST:
        problems.append(FieldRule("customerships", f"must be at most {_MOST} for one customer"))
    if problems:
        raise CustomerRefusedError(problems)


def _holds(facts: Facts, field: str) -> bool:
    return bool(getattr(facts, "identity" if field == "identity_code" else field))
