"""The store that keeps nothing: each start reads both topics from their beginning."""

from collections.abc import AsyncIterator
from uuid import uuid4

from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, State
from kielto.subscriber.stores.base import Mark, StoredRow


class MemoryStore:
    durable = False
    waits_for: str | None = None

    def __init__(self) -> None:
        self._mark = Mark(uuid4(), 0)

    async def open(self, _party: str, /) -> tuple[Mark, State]:
        self._mark = Mark(uuid4(), 0)
        return self._mark, State()

    async def rows(self) -> AsyncIterator[list[StoredRow]]:
        return
        yield

    async def renew(self) -> Mark:
        return self._mark

    async def commit(self, _follower: Follower, _delta: Delta, /) -> Mark:
        self._mark = Mark(self._mark.generation, self._mark.commits + 1)
        return self._mark

    async def close(self) -> None: ...
