"""Reading the topics goes on whatever becomes of the client that read them."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from kielto import kafka
from kielto.events.topics import Lane, permissions_of
from kielto.subscriber import MemoryStore
from kielto.subscriber.support import brokers
from kielto.subscriber.support.brokers import Brokers
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Session


class DyingClient:
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
    def _client(self) -> "DyingClient":
        return self


async def test_a_client_that_stops_with_a_cancellation_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clients: list[DyingClient] = []

    def made(*_: Any, **__: Any) -> DyingClient:
        clients.append(DyingClient())
        return clients[-1]

    monkeypatch.setattr(kafka, "consumer", made)
    monkeypatch.setattr(brokers, "RETRY_SECONDS", (0.01, 0.02))
    session = await Session.load(MemoryStore(), "company.kauppa", 30, None)
    session.follower.verify_topics({lane: uuid4() for lane in Lane})
    following = asyncio.create_task(
        Following(Brokers("nowhere:1"), permissions_of("company.kauppa"), session).run()
    )
    async with asyncio.timeout(10):
        while len(clients) < 12:  # noqa: ASYNC110 - three readers, several times each
            await asyncio.sleep(0.01)
    assert not following.done()
    following.cancel()
    await asyncio.wait([following])


async def test_ends_of_a_topic_that_was_made_again_meanwhile_prove_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Taken for ends of the new one, they would keep the gate shut until that is as long."""
    session = await Session.load(MemoryStore(), "company.kauppa", 30, None)
    ids = {lane: uuid4() for lane in Lane}
    session.follower.verify_topics(ids)
    following = Following(Brokers("nowhere:1"), permissions_of("company.kauppa"), session)
    probed: list[dict[int, int]] = []
    made_again = asyncio.Event()

    async def end_offsets(_: Any, places: Any) -> dict[Any, int]:
        told = dict.fromkeys(places, 5 if made_again.is_set() else 1000)
        if not made_again.is_set():
            ids[Lane.EXPRESS] = uuid4()
            made_again.set()
        return told

    async def topic_ids(*_: Any) -> dict[str, Any]:
        return {following.topics[lane]: ident for lane, ident in ids.items()}

    monkeypatch.setattr(kafka, "end_offsets", end_offsets)
    monkeypatch.setattr(kafka, "topic_ids", topic_ids)
    monkeypatch.setattr(session.follower, "probe", lambda _, ends: probed.append(ends))
    session.follower.stale_seconds = 0.1
    probing = asyncio.create_task(following._probe(None))
    async with asyncio.timeout(10):
        while len(probed) < 2:  # noqa: ASYNC110 - it is asked again by itself
            await asyncio.sleep(0.01)
    probing.cancel()
    await asyncio.wait([probing])
    assert {end for ends in probed for end in ends.values()} == {5}
