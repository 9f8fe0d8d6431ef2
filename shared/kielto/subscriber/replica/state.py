"""What a follower remembers besides the records, and the changes of one batch."""

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from kielto.events.control import Beat, Reconcile
from kielto.events.topics import Lane
from kielto.events.versions import Version

EXCEPTIONS = 1000


class Snapshot(NamedTuple):
    """A complete backfill, ordered by (epoch, generation)."""

    epoch: int
    generation: int
    begin_express: int
    begin_bulk: int

    @property
    def number(self) -> tuple[int, int]:
        return self.epoch, self.generation


class Flaw(NamedTuple):
    """A record that could not be read. It denies its key at its version; without a key it shuts its partition."""

    lane: Lane
    partition: int
    offset: int
    version: Version | None
    reason: str


@dataclass(slots=True)
class FollowerState:
    """The store commits it with the records. Its size does not depend on the number of customers."""

    topics: dict[Lane, UUID] = field(default_factory=dict)
    former_topics: set[UUID] = field(default_factory=set)
    """Ids of deleted topics, which a lagging broker may still give."""
    positions: dict[tuple[Lane, int], int] = field(default_factory=dict)
    """The next offset to read of each partition."""
    confirmed: dict[tuple[Lane, int], int] | None = None
    """Up to where `on_change` has confirmed changes; None: there is no `on_change`, so up to `positions`."""
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    """The newest complete one of each partition."""
    floors: dict[int, tuple[int, int]] = field(default_factory=dict)
    """After a topic was recreated, a snapshot proves completeness only if it is newer than this."""
    exceptions: dict[str, Flaw] = field(default_factory=dict)
    """By key; at most EXCEPTIONS."""
    held_back: dict[tuple[Lane, int], int] = field(default_factory=dict)
    """By partition, the first offset of unreadable records that are too many to list. Nothing from there on is
    acknowledged; their keys are denied too.
    """
    shut: dict[tuple[Lane, int, int], Flaw] = field(default_factory=dict)
    """Unreadable keys that are not yet voided, by (lane, partition, offset)."""
    voids: set[tuple[UUID, int, int]] = field(default_factory=set)
    """(topic id, partition, offset)"""


@dataclass(slots=True)
class Delta:
    """The changes of one batch, which a store commits in one transaction."""

    rows: dict[str, bytes | None] = field(default_factory=dict)
    """Keys of changed rows, with the new record where that changed. Filled for durable stores only."""
    forget_offsets: list[Lane] = field(default_factory=list)
    """Lanes whose topic was recreated: all rows forget their offsets there, before `rows` are written."""
    beats: list[tuple[int, int, Beat]] = field(default_factory=list)
    """(partition, offset, beat), in order."""
    asked: list[Reconcile] = field(default_factory=list)
    """Requests to subscribers of the party for digests of their stores."""
    news: bool = False
    """Whether anything but positions and beats changed."""
