"""What a store of a follower does. One that lasts commits each batch with its positions, or not at all."""

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol
from uuid import UUID

from kielto.errors import KieltoError
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, FollowerState


class StoreLostError(Exception):
    """What the store holds is not what this follower has committed: load it again. The message says what
    was seen.
    """


class StoreError(KieltoError):
    """The store cannot be used as it is configured."""


class StoredRow(NamedTuple):
    key: str
    partition: int
    epoch: int
    n: int
    unreadable: bool
    express: int
    """The offset where the version was last seen on the lane, or -1."""
    bulk: int
    value: bytes | None
    """The record last read; its version is this row's unless it is unreadable."""


class StoreMark(NamedTuple):
    """Which contents a store has, and how many commits they have seen."""

    generation: UUID
    """New when the store was emptied or restored from a backup."""
    commits: int


class Store(Protocol):
    durable: bool
    """Whether it keeps changed rows: `Delta.rows` is filled for it."""
    waits_for: str | None
    """While it waits in `open` or `commit`: for what, in words for whoever set it up."""

    async def open(self, party: str, /) -> tuple[StoreMark, FollowerState]:
        """Waits until the store is there and nobody else writes to it. Raises StoreError."""

    def rows(self) -> AsyncIterator[list[StoredRow]]:
        """All rows, in portions."""

    async def renew(self) -> StoreMark:
        """Give the contents a new generation: they were restored."""

    async def commit(self, follower: Follower, delta: Delta, /) -> StoreMark:
        """`delta` and the follower's state in one transaction, however long it takes. Raises StoreLostError."""

    async def close(self) -> None: ...
