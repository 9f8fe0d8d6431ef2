"""What this system's own desks were told, and the group does not yet know: denied here at once, until it is
taken in.

A denial ends only at beats that carry a position past the decision's own in the decisions topic: what
follows from the decision stands before such a beat in its partition. Denials live in the spool, which
survives the store.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from kielto.events.control import Taken
from kielto.events.messages import Decision
from kielto.events.topics import PARTITIONS
from kielto.events.words import Purpose, Reach
from kielto.kafka import partition_of

PARTNER_PURPOSES = frozenset((Purpose.PARTNER_MARKETING, Purpose.DISCLOSURE))


@dataclass(frozen=True, slots=True)
class Sent:
    """Where the broker put a decision."""

    topic_id: UUID
    partition: int
    offset: int


@dataclass(slots=True)
class Denial:
    """`hashes`: of the number or point, under every generation of the point key; empty when the subject is
    an id.
    """

    decision: Decision
    hashes: frozenset[int]
    sent: Sent | None = None
    waits: set[int] = field(default_factory=set)
    """Partitions of the restrictions topic that have not shown such a beat."""

    def __post_init__(self) -> None:
        self.sent_to(self.sent)

    def sent_to(self, where: Sent | None) -> None:
        """The broker has it there; None: it has to be sent again."""
        key = self.decision.subject.id
        self.sent = where
        self.waits = {partition_of(key.encode(), PARTITIONS)} if key else set(range(PARTITIONS))

    def covers(self, purpose: str, partner: str | None, channel: str) -> bool:
        """Whether it may deny this. Wide where the decision leaves it open: the group's answer will say
        exactly.
        """
        said = self.decision
        if said.purposes and purpose not in said.purposes:
            return False
        if said.channels and channel not in said.channels:
            return False
        match said.reach:
            case Reach.PARTNER:
                return said.partner == partner or (partner is None and purpose in PARTNER_PURPOSES)
            case Reach.PARTNERS:
                return partner is not None or purpose in PARTNER_PURPOSES
            case _:
                return True


class Denials:
    """`topic` is the party's decisions topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._all: dict[UUID, Denial] = {}

    def add(self, denial: Denial) -> None:
        """Only a *no* denies: a consent or a lifting has to come back from the group first."""
        if denial.decision.act.restricts:
            self._all[denial.decision.id] = denial

    def sent(self, decision: UUID, where: Sent | None) -> None:
        if denial := self._all.get(decision):
            denial.sent_to(where)

    def beat(self, partition: int, taken: Iterable[Taken]) -> list[UUID]:
        """A beat was read in this partition of the restrictions topic. Returns the decisions whose denials
        end.
        """
        marks = {mark.topic_id: mark.offsets for mark in taken if mark.topic == self._topic}
        ended = [denial.decision.id for denial in self._all.values() if _passed(denial, partition, marks)]
        for ident in ended:
            del self._all[ident]
        return ended

    def covering(self, purpose: str, partner: str | None, channel: str) -> list[Denial]:
        return [d for d in self._all.values() if d.covers(purpose, partner, channel)] if self._all else []


def _passed(denial: Denial, partition: int, marks: dict[UUID, tuple[int, ...]]) -> bool:
    """Notes that the partition has shown a beat past the decision; True when none is left to wait for."""
    sent = denial.sent
    if (
        sent is not None
        and dict(enumerate(marks.get(sent.topic_id, ()))).get(sent.partition, 0) > sent.offset
    ):
        denial.waits.discard(partition)
    return not denial.waits
