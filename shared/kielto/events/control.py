"""Control records of the state topics: keys that begin with `!`, written to explicit partitions."""

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field, StringConstraints

from kielto.events.base import Event, EventPart, Ident, Moment

BEAT, SNAPSHOT, VOID, RECONCILE = "!beat", "!snapshot", "!void", "!reconcile"

BUCKETS = 1024
"""Of a reconciliation: by the first ten bits of the key."""


_MOST = 2**63 - 1
Counted = Annotated[int, Field(ge=0, le=_MOST)]
"""An offset, or a number that only rises: 64 bits. More would overflow whoever keeps it."""
Numbered = Annotated[int, Field(ge=1, le=_MOST)]


class Taken(Event):
    """How far the writer has processed another topic (a party's decisions): the next offset of each partition."""

    kind: ClassVar[str] = "taken"
    topic: str = Field(max_length=249)
    topic_id: UUID
    offsets: tuple[Counted, ...] = Field(max_length=1000)


class AboutParty(EventPart):
    """What a subscriber compares its settings with, so that it reports a wrong setting at once."""

    point_keys: dict[int, Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]] = Field(
        description="A check value for each generation of the party's point key in use: the first 16 hexadecimal "
        "digits of HMAC-SHA256(point key, `kielto point key`). A subscriber needs all of these keys."
    )
    subscribers: tuple[Ident, ...] = Field(
        description="The party's subscriber systems. Acknowledgements by others are refused."
    )
    partners: tuple[Ident, ...] = Field(description="Partners that a permission of the party may name.")


class Beat(Event):
    """Heartbeat n of a leader's term, written to every partition of a restrictions topic; it proves freshness.

    Everything that was committed before the reader's last probe whose end offset was below n-1 stands before n. On a
    bulk topic n is 0, and the beat proves nothing: it only keeps compaction going.
    """

    kind: ClassVar[str] = "beat"
    epoch: Numbered
    term: Numbered
    n: Counted
    generation: Counted = Field(
        description="The newest requested snapshot generation. A gate stays shut until this snapshot is complete.",
    )
    taken: tuple[Taken, ...] = ()
    about: AboutParty | None = None
    at: Moment


class SnapshotComplete(Event):
    """The backfill is complete in this partition. `begin_*`: end offsets of the topics before it began."""

    kind: ClassVar[str] = "snapshot"
    epoch: Numbered
    generation: Numbered
    count: Counted = Field(description="Number of live records of the party, for progress display only.")
    begin_restrictions: Counted
    begin_bulk: Counted


class Void(Event):
    """Names a record with an unreadable key that was published again: the partition's gate may open without it."""

    kind: ClassVar[str] = "void"
    topic_id: UUID
    partition: Counted
    offset: Counted

    def key(self) -> str:
        return f"{VOID}.{self.topic_id}.{self.partition}.{self.offset}"


class Reconcile(Event):
    """Asks one subscriber what its store holds. It answers with a `StoreDigest`, or a `StoreListing` of some buckets.

    Others ignore it, as do readers that do not know this kind. The newest request to a subscriber stays in the log;
    answering it again does no harm.
    """

    kind: ClassVar[str] = "reconcile"
    subscriber: Ident
    ask: UUID
    buckets: tuple[int, ...] = Field(
        default=(),
        max_length=64,
        description="The buckets to list (0 to 1023). Empty: send the digests of all buckets.",
    )

    def key(self) -> str:
        return f"{RECONCILE}.{self.subscriber}"
