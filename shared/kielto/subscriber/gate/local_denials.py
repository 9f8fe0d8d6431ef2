"""Decisions submitted here that consents has not processed yet: they deny at once.

A denial ends when beats show a position after the decision in the decisions topic: the records that follow from the
decision stand before such a beat in its partition. The spool keeps denials, and it survives the store.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from kielto.errors import InvalidValueError
from kielto.events.control import Taken
from kielto.events.messages import Decision
from kielto.events.topics import PARTITIONS
from kielto.events.words import PARTNERS_PURPOSES, Reach
from kielto.subscriber.records.content import ident

OTHER_CONTENT = "id: another decision already has this id; use a new one"


@dataclass(frozen=True, slots=True)
class DecisionPlace:
    """Where the broker has a decision."""

    topic_id: UUID
    partition: int
    offset: int


@dataclass(slots=True)
class Denial:
    """`hashes`: of the number or point under each generation of the point key. Empty when the subject is an id."""

    decision: Decision
    hashes: frozenset[int]
    sent: DecisionPlace | None = None
    waits: set[int] = field(default_factory=lambda: set(range(PARTITIONS)))
    """Partitions of the restrictions topic that have not shown a beat after the decision: all of them count, because a
    customer who was merged has records in several.
    """

    @property
    def about(self) -> Iterable[object]:
        """The ident of the customer, or the hashes of the number or address."""
        key = self.decision.subject.id
        return self.hashes if key is None else (ident(key),)

    def covers(self, purpose: str, partner: str | None, channel: str) -> bool:
        """Whether it denies this purpose, partner and channel. What the decision leaves open is denied."""
        said = self.decision
        if said.purposes and purpose not in said.purposes:
            return False
        if said.channels and channel not in said.channels:
            return False
        match said.reach:
            case Reach.PARTNER:
                return said.partner == partner or (partner is None and purpose in PARTNERS_PURPOSES)
            case Reach.PARTNERS:
                return partner is not None or purpose in PARTNERS_PURPOSES
            case _:
                return True


class Denials:
    """All local denials. `topic`: the party's decisions topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._all: dict[UUID, Denial] = {}
        self._about: dict[object, dict[UUID, Denial]] = {}
        """By a customer's ident, or by a hash."""

    def __len__(self) -> int:
        return len(self._all)

    def add(self, denial: Denial) -> None:
        """Deny what the decision says. A consent or a lifting denies nothing, and permits nothing before it comes back.

        Raises InvalidValueError when another decision with this id denies already; that one stays.
        """
        same = self._all.get(denial.decision.id)
        if same is not None:
            if same.decision.content() != denial.decision.content():
                raise InvalidValueError(OTHER_CONTENT)
            return
        if denial.decision.act.restricts:
            self._all[denial.decision.id] = denial
            for about in denial.about:
                self._about.setdefault(about, {})[denial.decision.id] = denial

    def sent(self, decision: UUID, where: DecisionPlace | None) -> None:
        """Note where the broker has it; None: it must be sent again."""
        if denial := self._all.get(decision):
            denial.sent, denial.waits = where, set(range(PARTITIONS))

    def beat(self, partition: int, taken: Iterable[Taken]) -> list[UUID]:
        """Note a beat in this partition of the restrictions topic; return the decisions whose denials may end.

        The caller deletes them from the spool, and then drops them here. In the other order, a decision that is
        submitted again in between would deny for ever.
        """
        marks = {mark.topic_id: mark.offsets for mark in taken if mark.topic == self._topic}
        return [d.decision.id for d in self._all.values() if _passed(d, partition, marks)]

    def drop(self, decision: UUID) -> None:
        """End the denial."""
        if denial := self._all.pop(decision, None):
            for about in denial.about:
                self._about[about].pop(decision, None)
                if not self._about[about]:
                    del self._about[about]

    def deny(self, about: Iterable[object], purpose: str, partner: str | None, channel: str) -> bool:
        """Whether any of these idents and hashes is denied."""
        return any(
            denial.covers(purpose, partner, channel)
            for one in about
            if one in self._about
            for denial in self._about[one].values()
        )


def _passed(denial: Denial, partition: int, marks: dict[UUID, tuple[int, ...]]) -> bool:
    """Note a beat after the decision in this partition; return whether all partitions have shown one."""
    sent = denial.sent
    if sent is not None and sent.topic_id in marks:
        offsets = marks[sent.topic_id]
        if sent.partition < len(offsets) and offsets[sent.partition] > sent.offset:
            denial.waits.discard(partition)
    return not denial.waits
