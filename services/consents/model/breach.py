"""Whether something was sent after a ban. Decisions count from when they were accepted, not from the time they state.

Only restrictions are compared, no other reason why something may not be sent: facts may have changed since.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from kielto.events.words import KIND_OF, Channel, Mode, PointKind, Purpose
from services.consents.model.applicable import ApplicableDecisions, Voice, select_applicable
from services.consents.model.coverage import consented, denies, limit
from services.consents.model.decisions import RecordedDecision
from services.consents.model.facts import Person, PointFacts
from services.consents.model.rules import Rules
from services.consents.model.ruling import NO_GROUPS, Cell


class Delivery(NamedTuple):
    """A delivery that a company reported. `sent_at`: the sender's claim, but no later than the report. `subject`: an i:
    ref of a customer whom we do not know yet. `point`: the party's hash of the contact point that was used.
    """

    id: UUID
    customer: UUID | None
    subject: str | None
    company: str
    partner: str | None
    campaign: UUID | None
    channel: Channel
    purpose: Purpose | None
    claimed_at: datetime
    reported_at: datetime
    point: str | None = None

    @property
    def sent_at(self) -> datetime:
        return min(self.claimed_at, self.reported_at)


class BreachEvidence(NamedTuple):
    bound_seconds: float
    decisions: Sequence[UUID]
    subscribers: Sequence[dict[str, Any]]
    clearance: UUID | None
    point: UUID | None
    """The id of the contact point."""


class Breach(NamedTuple):
    """A delivery after a ban. `subscribers`: for each decision and subscriber, whether it was applied by then."""

    delivery: Delivery
    evidence: BreachEvidence
    state: str
    note: str | None
    opened_at: datetime
    changed_at: datetime | None


class BreachFinding(StrEnum):
    NOT_BANNED = "not_banned"
    WITHIN_BOUND = "within_bound"
    """A ban was accepted before, but no longer before than the bound; or a clearance was still valid."""
    CLAIMED_BEFORE = "claimed_before"
    """Reported after a ban and its bound; the sender's clock alone says that it was sent before."""
    AFTER_BAN = "after_ban"


NO_POINT = UUID(int=0)
"""Stands for an address that nobody knows any more, or where a channel has none."""


class SentMessage(NamedTuple):
    """What was sent, for the company or a partner. `points`: the contact points that it reached, or may have."""

    company: str
    partner: str | None
    channel: Channel
    points: tuple[PointFacts, ...]

    def cells(self) -> Iterator[Cell]:
        """The cells of the message. Who sent a partner's is unknown: only a ban that covers both modes counts."""
        purpose = Purpose.PARTNER_MARKETING if self.partner else Purpose.OWN_MARKETING
        modes = (Mode.WE_SEND, Mode.PARTNER_SENDS) if self.partner else (None,)
        for point in self.points:
            for mode in modes:
                yield Cell(self.company, point.id, self.channel, purpose, self.partner, mode)


def points(person: Person, company: str, channel: Channel, named: Collection[UUID]) -> tuple[PointFacts, ...]:
    """The contact point with one of the ids `named`, of anybody who was merged into the person; else each of the
    company's points that the channel could reach.
    """
    kind = KIND_OF.get(channel)
    of_all = [p for c in person.customers for p in c.points]
    its = person.root.points_of(company)
    used = [p for p in of_all if p.id in named][:1] or [p for p in its if p.kind is kind]
    return tuple(used) or (PointFacts(NO_POINT, kind or PointKind.POST),)


def banning(
    person: Person, decisions: Sequence[RecordedDecision], rules: Rules, sent: SentMessage
) -> frozenset[UUID]:
    """The decisions that denied the message at every one of its points; none when one point was not banned."""
    person = person.seen_by(sent.company)
    ids = {p.id for p in person.root.points}
    more = tuple(p for p in sent.points if p.id not in ids)
    known = replace(person, root=replace(person.root, points=person.root.points + more))
    applicable = select_applicable(known, decisions, rules)
    found: set[UUID] = set()
    for cell in sent.cells():
        denying = _denying(applicable, cell)
        if not denying:
            return frozenset()
        found |= denying
    return frozenset(found)


def _denying(applicable: ApplicableDecisions, cell: Cell) -> frozenset[UUID]:
    """What leaves nothing allowed at the cell. A contact's own consent may stand beside the organisation's ban."""
    against = [r for r in applicable.restrictions if denies(r.no, cell)]
    if consented(applicable.consents, cell).given_by:
        against = [r for r in against if r.no.voice is not Voice.EMPLOYER]
    left = limit(against, cell)
    return frozenset(d.id for d in left.denying) if left.groups == NO_GROUPS else frozenset()


def classify(
    banned: Callable[[datetime], frozenset[UUID]], sent: datetime, reported: datetime, bound: timedelta
) -> tuple[BreachFinding, frozenset[UUID]]:
    """Compare the message with the bans at its sending and one bound earlier; the finding, and its decisions."""
    now = banned(sent)
    if broken := now & banned(sent - bound):
        return BreachFinding.AFTER_BAN, broken
    if now:
        return BreachFinding.WITHIN_BOUND, now
    then = banned(reported) & banned(reported - bound)
    return (BreachFinding.CLAIMED_BEFORE, then) if then else (BreachFinding.NOT_BANNED, frozenset())
