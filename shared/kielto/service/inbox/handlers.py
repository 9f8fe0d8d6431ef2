"""What a service provides for each topic that it reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from kielto.errors import KieltoError
from kielto.events.base import Event
from kielto.events.envelope import Read
from kielto.events.versions import Version
from kielto.service.database.pool import Conn


class PermanentError(KieltoError):
    """Raised by a handler: this message can never be processed. `reason` names the rule and nothing of the content.
    `holds`: the message may take a permission away, so heartbeats do not say that the topic was read past it until it
    is replayed or discarded; False for a message that certainly takes none.
    """

    def __init__(self, reason: str, *, holds: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.holds = reason, holds


@dataclass(frozen=True, slots=True)
class Meta:
    """The place of a message. `timestamp_ms` is the broker's append time on our own topics."""

    topic: str
    topic_id: UUID
    partition: int
    offset: int
    timestamp_ms: int

    @property
    def appended_at(self) -> datetime:
        """When the broker appended the message."""
        return datetime.fromtimestamp(self.timestamp_ms / 1000, UTC)


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


class Stateless:
    """For handlers of topics without state: a message that cannot be read denies nobody, it is in quarantine only."""

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None: ...


class BatchHandler(Handler, Protocol):
    """For bulk topics: takes the messages of one partition in order. `handle` and `deny` take what must be processed
    alone.
    """

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None: ...


class Holding(Protocol):
    """For topics without state: what depends on a message in quarantine that may take a permission away."""

    async def customer(self, conn: Conn, key: str | None) -> UUID | None:
        """The customer that a message with this key may be about; None: unknown."""

    async def compute_anew(self, conn: Conn, customer: UUID) -> None:
        """A message about this customer was put into quarantine, or has left it, in the same transaction."""

    async def tell(self, conn: Conn, event: Event | None, reason: str, meta: Meta) -> None:
        """This message was put into quarantine, in the same transaction; `event` None: it cannot be read."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic that a service reads: one consumer, group `kielto.<service>.<topic>`, positions in the database."""

    topic: str
    handler: Handler
    batch: bool = False
    """With True `handler` is a BatchHandler; for bulk topics (polling idles up to 50 ms)."""
    holding: Holding | None = None
    urgent: Callable[[Event], bool] | None = None
    """Which messages are processed at once although a transaction is open before or around them (`ahead.py`). The
    handler must do nothing when they come again.
    """
