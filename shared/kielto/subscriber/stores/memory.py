"""The store in memory: each start reads both topics from their beginning."""

from collections.abc import AsyncIterator
from uuid import uuid4

from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, FollowerState
from kielto.subscriber.stores.base import StoredRow, StoreMark


class MemoryStore:
    durable = False
    waits_for: str | None = None

    def __init__(self) -> None:
        self._mark = StoreMark(uuid4(), 0)

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
