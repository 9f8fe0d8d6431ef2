"""What a service gives for each topic that it reads, and how the effects and the position are committed
together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from kielto.errors import KieltoError
from kielto.events.base import Event
from kielto.events.envelope import Read
from kielto.events.versions import Version
from kielto.service.database.pool import Conn


class PermanentError(KieltoError):
    """Raised by a handler: this message can never be taken in. `reason` names the rule and nothing of the
    content. `holds`: it may take a permission away, so beats do not say that the topic was taken in past it
    until it is replayed or discarded; False for what certainly takes none.
    """

    def __init__(self, reason: str, *, holds: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.holds = reason, holds


@dataclass(frozen=True, slots=True)
class Meta:
    """Where a message stands. `timestamp_ms` is the broker's append time on topics of ours."""

    topic: str
    topic_id: UUID
    partition: int
    offset: int
    timestamp_ms: int


class Handler(Protocol):
    """Called inside the transaction that also moves the position; never commits, never publishes to Kafka
    itself.

    Called again for the same message after a crash or a rebalance: guard by version, or by the message's own
    id. Any exception but Permanent is transient: the transaction is rolled back and tried again, for ever.
    Tombstones, heartbeats and other control records do not reach it.
    """

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None: ...

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        """The record of `key` at `version` cannot be read: deny the key until the same or a higher one is
        read.
        """


class BatchHandler(Handler, Protocol):
    """For bulk topics: the messages of one partition, in order. `handle` and `deny` are for what must go
    alone.
    """

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None: ...


class Holding(Protocol):
    """For topics without state: what a message that cannot be taken in, and may take a permission away, holds up."""

    async def customer(self, conn: Conn, key: str | None) -> UUID | None:
        """Whom a message of this key may be about; None: nobody can say."""

    async def compute_anew(self, conn: Conn, customer: UUID) -> None:
        """A message about this customer was put into quarantine, or has left it, in the same transaction."""

    async def tell(self, conn: Conn, event: Event | None, reason: str, meta: Meta) -> None:
        """This message was put into quarantine, in the same transaction; `event` None: it cannot be read."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic that a service reads. One consumer each, group `kielto.<service>.<topic>`, positions in the
    database.
    """

    topic: str
    handler: Handler
    batch: bool = False
    """With True `handler` is a BatchHandler; for bulk topics (polling idles up to 50 ms)."""
    holding: Holding | None = None
    urgent: Callable[[Event], bool] | None = None
    """Which messages are taken in at once, though a transaction is open before them or around them (`ahead.py`). Their
    handler must do nothing when they come again.
    """
