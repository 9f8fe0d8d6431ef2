"""Whether something was sent after a ban. Pure: decisions count by when they were accepted, not by what they say.

Facts may have changed since, so they excuse nothing: of who is erased, or has the address no longer, the restrictions
alone are asked.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from kielto.events.words import KIND_OF, Channel, Purpose, Status
from services.consents.model.decisions import Decision
from services.consents.model.facts import Customership, Person, Point
from services.consents.model.ruling import Reason, Verdict

Evaluate = Callable[[Sequence[Decision]], Collection[Verdict]]


class Found(StrEnum):
    NOT_BANNED = "not_banned"
    WITHIN_BOUND = "within_bound"
    """A ban was accepted before, but no longer before than the bound; or a clearance was still valid."""
    CLAIMED_BEFORE = "claimed_before"
    """Reported after a ban and its bound; the sender's clock alone says that it was sent before."""
    AFTER_BAN = "after_ban"


NO_POINT = UUID(int=0)
"""Stands for an address that nobody knows any more."""


def as_sent(person: Person, company: str, channel: Channel, point: UUID | None) -> Person:
    """The person as a customer who can be sent this: what denies for another reason than a decision is set aside."""
    kind = KIND_OF[channel]
    points = tuple(p for p in person.root.points if p.kind is kind and point in (None, p.id))
    points = points or (Point(point or NO_POINT, kind),)
    root, *members = (
        replace(c, deceased=False, minor=False, safety_ban=False) for c in (person.root, *person.members)
    )
    relations = (*root.customerships, Customership(company, b""))
    root = replace(root, status=Status.LIVE, alias_of=None, points=points, customerships=relations)
    return replace(person, root=root, members=tuple(members))


def restricting(
    decisions: Sequence[Decision],
    evaluate: Evaluate,
    at: datetime,
    company: str,
    partner: str | None,
    channel: Channel,
    purpose: Purpose | None,
) -> frozenset[UUID]:
    """The decisions that denied every address of the channel at that time; none when an address was not banned."""
    verdicts = [
        v
        for v in evaluate([d for d in decisions if d.received_at <= at])
        if v.cell.company == company and v.cell.partner == partner and v.cell.channel is channel
        if purpose in (None, v.cell.purpose)
    ]
    if not verdicts or any(v.ruling.reason is not Reason.RESTRICTED for v in verdicts):
        return frozenset()
    return frozenset(i for v in verdicts for i in v.ruling.decisions)


def judge(
    banned: Callable[[datetime], frozenset[UUID]], sent: datetime, reported: datetime, bound: timedelta
) -> tuple[Found, frozenset[UUID]]:
    """What was found, and the decisions that it is about: those in force at the sending and a bound before it."""
    now = banned(sent)
    if broken := now & banned(sent - bound):
        return Found.AFTER_BAN, broken
    if now:
        return Found.WITHIN_BOUND, now
    then = banned(reported) & banned(reported - bound)
    return (Found.CLAIMED_BEFORE, then) if then else (Found.NOT_BANNED, frozenset())
