"""What a follower must remember besides the records, committed with them; and the changes of one batch."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from kielto.events.control import Beat, Reconcile
from kielto.events.topics import Lane
from kielto.events.versions import Version

EXCEPTIONS = 1000


class Snapshot(NamedTuple):
    """A complete backfill. Ordered by (epoch, generation)."""

    epoch: int
    generation: int
    begin_express: int
    begin_bulk: int

    @property
    def number(self) -> tuple[int, int]:
        return self.epoch, self.generation


class Flaw(NamedTuple):
    """A record that could not be read. Its key is denied at its version; without a key its partition is
    shut.
    """

    lane: Lane
    partition: int
    offset: int
    version: Version | None
    reason: str


@dataclass(slots=True)
class FollowerState:
    """Small, whatever the number of customers."""

    topics: dict[Lane, UUID] = field(default_factory=dict)
    former_topics: set[UUID] = field(default_factory=set)
    """Ids of deleted topics: a lagging broker may still name one."""
    positions: dict[tuple[Lane, int], int] = field(default_factory=dict)
    """The next offset to read of each partition."""
    confirmed: dict[tuple[Lane, int], int] | None = None
    """Up to there a tool behind the follower has confirmed changes; None: there is none, so as far as `positions`."""
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    """The newest complete one of each partition."""
    floors: dict[int, tuple[int, int]] = field(default_factory=dict)
    """A topic was recreated: only a snapshot newer than this one proves completeness of the new one."""
    exceptions: dict[str, Flaw] = field(default_factory=dict)
    """By key; at most EXCEPTIONS."""
    held_back: dict[tuple[Lane, int], int] = field(default_factory=dict)
    """The least offset, by partition, of unreadable records that are too many to list: nothing from there
    on is acknowledged. Their keys are denied all the same.
    """
    shut: dict[tuple[Lane, int, int], Flaw] = field(default_factory=dict)
    """Unreadable keys that are not yet voided, by (lane, partition, offset)."""
    voids: set[tuple[UUID, int, int]] = field(default_factory=set)
    """(topic id, partition, offset)"""


@dataclass(slots=True)
class Delta:
    """One batch: what a store commits in one transaction, and what holds once it has."""

    rows: dict[str, bytes | None] = field(default_factory=dict)
    """Keys of changed rows, with the new record where that changed. Filled for durable stores only."""
    forget_offsets: list[Lane] = field(default_factory=list)
    """Lanes whose topic was recreated: before `rows`, all rows forget where they were seen there."""
    beats: list[tuple[int, int, Beat]] = field(default_factory=list)
    """(partition, offset, beat), in order."""
    asked: list[Reconcile] = field(default_factory=list)
    """Questions to subscribers of the party about what their stores hold."""
    news: bool = False
    """Something besides positions and beats."""
