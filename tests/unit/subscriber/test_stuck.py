"""A client of Kafka's that stands still without an error is given up; one that has handed out everything is not."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from kielto.events.topics import Lane, permissions_of
from kielto.subscriber import MemoryStore, follow
from kielto.subscriber.follow import Following
from kielto.subscriber.session import Session


class Client:
    """Hands out nothing. `position`: of all partitions; `end`: of the topic's."""

    def __init__(self, position: int, end: int) -> None:
        self._position, self._end = position, end

    def assign(self, places: Any) -> None: ...

    def seek(self, place: Any, offset: int) -> None: ...

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        await asyncio.sleep(0.01)
        return {}

    async def end_offsets(self, places: Any) -> dict[Any, int]:
        return dict.fromkeys(places, self._end)

    async def position(self, _: Any) -> int:
        return self._position


@pytest.fixture
async def following(monkeypatch: pytest.MonkeyPatch) -> Following:
    monkeypatch.setattr(follow, "STUCK_SECONDS", 0.1)
    session = await Session.load(MemoryStore(), "company.kauppa", 30, None)
    session.follower.verify_topics({lane: uuid4() for lane in Lane})
    return Following("nowhere:1", permissions_of("company.kauppa"), session)


@pytest.mark.parametrize("lane", Lane)
async def test_what_was_there_and_never_came(following: Following, lane: Lane) -> None:
    reading = asyncio.create_task(following._read(lane, Client(4, 5)))
    await asyncio.wait({reading}, timeout=5)
    assert reading.done()
    assert isinstance(reading.exception(), TimeoutError)


async def test_there_is_nothing_more(following: Following) -> None:
    reading = asyncio.create_task(following._read(Lane.BULK, Client(5, 5)))
    await asyncio.sleep(0.5)
    assert not reading.done()
    reading.cancel()
