"""How much is taken from the client before it is applied, on a client that hands out what it is told to."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from kielto.events.topics import Lane, permissions_of
from kielto.subscriber import MemoryStore
from kielto.subscriber.support.brokers import Brokers
from kielto.subscriber.sync import reading
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Session
from tests.unit.subscriber.columnar.test_batch_decode import ClientRecord
from tests.unit.subscriber.logs import TOPICS, hexes, message, permissions


class FetchingClient:
    """Hands out fetches of two partitions; `ends` when there are no more."""

    def __init__(self, fetches: Iterator[list[ClientRecord]]) -> None:
        self._fetches = fetches
        self.asked: list[int] = []

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[int, list[ClientRecord]]:
        self.asked.append(max_records)
        await asyncio.sleep(0)
        records = next(self._fetches, [])[:max_records]
        parts = {p: [r for r in records if r.partition == p] for p in (0, 1)}
        return {partition: part for partition, part in parts.items() if part}


def fetches(each: int) -> Iterator[list[ClientRecord]]:
    """Without an end."""
    number = 0
    while True:
        told = [
            message(permissions(f"c{n}", "1.1", (f"m{n}", "email"))) for n in range(number, number + each)
        ]
        yield [ClientRecord(n % 2, number + n, *one) for n, one in enumerate(told)]
        number += each


async def started() -> tuple[Following, Session]:
    session = await Session.load(MemoryStore(), "company.a", 3.0, None)
    session.follower.verify_topics(TOPICS)
    return Following(Brokers("nowhere"), permissions_of("company.a"), session), session


async def test_while_the_gate_is_shut_fetches_are_joined_and_applied_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "FETCHED", 20)
    monkeypatch.setattr(reading, "PORTION_SHUT", 50)
    following, session = await started()
    client = FetchingClient(fetches(20))
    seen = await following._fetch(client)
    assert client.asked == [20, 20, 10]
    for partition in (0, 1):
        offsets = [o for p, o in zip(seen.partitions, seen.offsets, strict=True) if p == partition]
        assert offsets == list(range(partition, 50, 2))
    monkeypatch.setattr(reading, "PORTION_SHUT", 30)
    for held, left in ((30, 20), (50, 0)):
        assert await following._take(Lane.BULK, TOPICS[Lane.BULK], seen, client)
        assert (len(session.follower.image), len(seen)) == (held, left)
    assert session.committed.positions == {(Lane.BULK, 0): 49, (Lane.BULK, 1): 50}
    assert all(session.follower.image.find(hexes(f"c{n}")) is not None for n in range(50))


async def test_records_that_keep_trickling_in_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "GATHER_SECONDS", 0.05)
    following, _ = await started()
    seen = await asyncio.wait_for(following._fetch(FetchingClient(fetches(1))), 20)
    assert 0 < len(seen) < reading.PORTION_SHUT


async def test_while_the_gate_is_open_what_is_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    following, _ = await started()
    monkeypatch.setattr(following, "_is_open", lambda: True)
    assert len(await following._fetch(FetchingClient(fetches(3)))) == 3


async def test_nothing_there() -> None:
    following, _ = await started()
    client: Any = FetchingClient(iter([]))
    assert len(await following._fetch(client)) == 0
