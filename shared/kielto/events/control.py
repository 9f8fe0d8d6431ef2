"""Control records of the state topics: keys that begin with `!`, written to explicit partitions."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from kielto.events.base import Event, EventPart, Ident, Moment

BEAT, SNAPSHOT, VOID, TAKEN, RECONCILE = "!beat", "!snapshot", "!void", "!taken", "!reconcile"

BUCKETS = 1024
"""Of a reconciliation: by the first ten bits of the key."""


_MOST = 2**63 - 1
Counted = Annotated[int, Field(ge=0, le=_MOST)]
"""An offset, or a number that only rises: 64 bits. More would overflow whoever keeps it."""
Numbered = Annotated[int, Field(ge=1, le=_MOST)]


class Taken(Event):
    """How far the writer has taken in another topic (a company's decisions): the next offset by partition."""

    kind: ClassVar[str] = "taken"
    topic: str = Field(max_length=249)
    topic_id: UUID
    offsets: tuple[Counted, ...] = Field(max_length=1000)


class AboutParty(EventPart):
    """What a party's followers are told of the group, so that a wrong setting is noticed and not waited for."""

    point_keys: dict[int, Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]] = Field(
        description="Of each generation of the party's point key that records may be hashed with, a check value: the "
        "first 16 hexadecimal digits of HMAC-SHA256(point key, `kielto point key`). A follower needs all of these keys."
    )
    subscribers: tuple[Ident, ...] = Field(
        description="The party's subscriber systems; acknowledgements of others are refused."
    )
    partners: tuple[Ident, ...] = Field(description="Partners that a permission of the party may name.")


class Beat(Event):
    """Heartbeat n of a leader's term, written by the relay to every partition of a restrictions topic; on a bulk
    topic n is 0 and nothing is vouched for: it only keeps compaction going.

    Everything committed before the follower's last look without n-1 stands before n
    (see `kielto.subscriber.replica.freshness`).
    """

    kind: ClassVar[str] = "beat"
    epoch: Numbered
    term: Numbered
    n: Counted
    generation: Counted = Field(
        description="The newest snapshot generation that was asked for; a gate is shut until it is complete.",
    )
    taken: tuple[Taken, ...] = ()
    about: AboutParty | None = None
    at: Moment


class SnapshotComplete(Event):
    """A backfill is whole in this partition. `begin_*`: the topics' end offsets before the enumeration."""

    kind: ClassVar[str] = "snapshot"
    epoch: Numbered
    generation: Numbered
    count: Counted = Field(description="Live records in the family, for progress only.")
    begin_restrictions: Counted
    begin_bulk: Counted


class Void(Event):
    """A record with an unreadable key was republished: its partition's gate may open again without it."""

    kind: ClassVar[str] = "void"
    topic_id: UUID
    partition: Counted
    offset: Counted

    def key(self) -> str:
        return f"{VOID}.{self.topic_id}.{self.partition}.{self.offset}"


class Reconcile(Event):
    """A subscriber is asked what its store holds: a `StoreDigest`, or a `StoreListing` of some buckets.

    A reader that does not know the kind skips it, and nobody who is not asked answers. The newest question to
    a subscriber stands in the log for ever; answering it again does no harm.
    """

    kind: ClassVar[str] = "reconcile"
    subscriber: Ident
    ask: UUID
    buckets: tuple[int, ...] = Field(
        default=(), max_length=64, description="List these (0 to 1023); none: digests of all."
    )

    def key(self) -> str:
        return f"{RECONCILE}.{self.subscriber}"
