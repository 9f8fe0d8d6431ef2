"""What a store does, and the one in memory. One that lasts commits each batch with its positions, or not at all."""

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol
from uuid import UUID, uuid4

from kielto.errors import KieltoError
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, FollowerState


class StoreLostError(Exception):
    """The store holds something other than this follower committed, so it must be loaded again. Internal."""


class StoreError(KieltoError):
    """The store cannot be used with these settings. The message says why."""


class StoredRow(NamedTuple):
    key: str
    partition: int
    epoch: int
    n: int
    unreadable: bool
    express: int
    """The offset at which the version was last read on the lane, or -1."""
    bulk: int
    value: bytes | None
    """The last readable record. It has the version of the row unless the row is unreadable."""


class StoreMark(NamedTuple):
    """Identity of a store's contents, and the number of their commits."""

    generation: UUID
    """Changes when the store was emptied or restored from a backup."""
    commits: int


class Store(Protocol):
    durable: bool
    """Whether it keeps rows; then `Delta.rows` lists the changed ones."""
    waits_for: str | None
    """What `open` or `commit` is waiting for, in words for the person who configures it; else None."""

    async def open(self, party: str, /) -> tuple[StoreMark, FollowerState]:
        """Wait until the store answers and nobody else writes to it. Raises StoreError."""

    def rows(self) -> AsyncIterator[list[StoredRow]]:
        """Yield all rows, in portions."""

    async def renew(self) -> StoreMark:
        """Give the contents a new generation, since they were restored."""

    async def commit(self, follower: Follower, delta: Delta, /) -> StoreMark:
        """Commit `delta` and the follower's state in one transaction, and wait as long as it takes. Raises
        StoreLostError.
        """

    async def close(self) -> None: ...


class MemoryStore:
    durable = False
    waits_for: str | None = None

    async def open(self, _party: str, /) -> tuple[StoreMark, FollowerState]:
        self._mark = StoreMark(uuid4(), 0)
        return self._mark, FollowerState()

    async def rows(self) -> AsyncIterator[list[StoredRow]]:
        return
        yield

    async def renew(self) -> StoreMark:
        return self._mark

    async def commit(self, _follower: Follower, _delta: Delta, /) -> StoreMark:
        self._mark = StoreMark(self._mark.generation, self._mark.commits + 1)
        return self._mark

    async def close(self) -> None: ...
