"""Reading the topics goes on whatever becomes of the client that read them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from kielto import kafka
from kielto.events.topics import Lane, permissions_of
from kielto.subscriber import MemoryStore, follow
from kielto.subscriber.follow import Following
from kielto.subscriber.session import Session


class Client:
    """The broker goes away as soon as it is asked, and stopping ends in a cancellation that nobody asked for."""

    def __init__(self) -> None:
        self.started = False

    async def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        raise asyncio.CancelledError

    def get_random_node(self) -> None:
        """None is known any more."""

    @property
    def _client(self) -> "Client":
        return self


async def test_a_client_that_stops_with_a_cancellation_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[Client] = []

    def made(*_: Any, **__: Any) -> Client:
        clients.append(Client())
        return clients[-1]

    monkeypatch.setattr(kafka, "consumer", made)
    monkeypatch.setattr(follow, "RETRY_SECONDS", (0.01, 0.02))
    session = await Session.load(MemoryStore(), "company.kauppa", 30, None)
    session.follower.verify_topics({lane: uuid4() for lane in Lane})
    following = asyncio.create_task(Following("nowhere:1", permissions_of("company.kauppa"), session).run())
    async with asyncio.timeout(10):
        while len(clients) < 12:  # noqa: ASYNC110 - three readers, several times each
            await asyncio.sleep(0.01)
    assert not following.done()
    following.cancel()
    await asyncio.wait([following])
