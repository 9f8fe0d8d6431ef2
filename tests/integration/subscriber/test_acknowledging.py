"""Acknowledgements: of what the store holds, soon, and no more than that."""

import asyncio
from uuid import UUID, uuid4

import pytest

from kielto.clock import utc_now
from kielto.events.messages import Acknowledgement, progress_seconds
from kielto.events.topics import PARTITIONS, Lane
from kielto.events.versions import Version
from kielto.subscriber import MemoryStore
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, Flaw
from kielto.subscriber.stores.base import StoreMark
from kielto.subscriber.sync.acks import LISTED, AckSender, acknowledgement
from kielto.subscriber.sync.session import Committed, Session
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import NAMES, by_id, customer, open_with
from tests.integration.subscriber.relay import HandDrivenRelay
from tests.unit.subscriber.logs import message
from tests.waiting import until


async def covering(relay: HandDrivenRelay, place: tuple[str, int], offset: int) -> Acknowledgement:
    """The first acknowledgement that covers a record."""
    async with asyncio.timeout(20):
        while True:
            for ack in await relay.acknowledged():
                if any((p.topic, p.partition) == place and p.offset > offset for p in ack.positions):
                    return ack
            await asyncio.sleep(0.02)


async def test_a_record_is_acknowledged_when_the_store_has_it(relay: HandDrivenRelay, follow: Follow) -> None:
    instance = uuid4()
    async with follow(instance=instance) as kielto:
        await open_with(kielto, relay, *NAMES)
        record = message(customer("c0", "1.2", allowed=False))
        put = await (await relay.raw(Lane.EXPRESS, record.key, record.value, record.headers))
        ack = await covering(relay, (put.topic, put.partition), put.offset)
        assert not kielto.may(by_id("c0"))
        assert (ack.subscriber, ack.instance) == ("crm", instance)
        assert {(p.topic, p.topic_id) for p in ack.positions} == {
            (relay.family.topic(lane), await relay.topic_id(relay.family.topic(lane))) for lane in Lane
        }
        assert len(ack.positions) == 2 * PARTITIONS
    generations = {a.generation for a in await relay.acknowledged()}
    async with follow(instance=instance, store=MemoryStore()) as kielto:
        await kielto.ready()
        await until(lambda: kielto.may(by_id("c1")))
        async with asyncio.timeout(10):
            # A store that was emptied is another one.
            while not {a.generation for a in await relay.acknowledged()} - generations:  # noqa: ASYNC110
                await asyncio.sleep(0.05)


async def test_the_spool_keeps_the_instance(relay: HandDrivenRelay, follow: Follow) -> None:
    for _ in range(2):
        async with follow(store=MemoryStore()) as kielto:
            await open_with(kielto, relay, "a")
            await asyncio.sleep(0.3)
    assert len({ack.instance for ack in await relay.acknowledged()}) == 1


async def test_progress_by_beats_alone_is_told_seldom(
    relay: HandDrivenRelay, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kielto.events.messages.PROGRESS_SECONDS", 1.0)
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        await asyncio.sleep(1.0)
        before = len(await relay.acknowledged())
        await asyncio.sleep(3.2)
        assert 2 <= len(await relay.acknowledged()) - before <= 4


async def test_who_lives_says_so_though_nothing_moves(
    relay: HandDrivenRelay, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kielto.events.messages.PROGRESS_SECONDS", 0.5)
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        relay.beating.clear()
        await asyncio.sleep(1.0)
        before = len(await relay.acknowledged())
        await asyncio.sleep(2.2)
        assert len(await relay.acknowledged()) - before >= 2


@pytest.mark.parametrize(("stale", "progress"), [(30.0, 5.0), (15.0, 5.0), (3.0, 1.0)])
def test_it_speaks_three_times_within_what_others_judge_it_by(stale: float, progress: float) -> None:
    assert progress_seconds(stale) == progress


async def test_exceptions_are_told_until_they_are_read(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        spoiled = message(customer("a", "1.2"))
        put = await (await relay.raw(Lane.BULK, spoiled.key, b"{", spoiled.headers))
        ack = await covering(relay, (put.topic, put.partition), put.offset)
        (told,) = ack.exceptions
        assert (told.topic, told.partition, told.offset, told.key) == (
            put.topic, put.partition, put.offset, spoiled.key.decode(),
        )  # fmt: skip
        assert told.version == "1.2"
        put = await (await relay.raw(Lane.EXPRESS, spoiled.key, spoiled.value, spoiled.headers))
        assert (await covering(relay, (put.topic, put.partition), put.offset)).exceptions == ()


class Slow(MemoryStore):
    """A store whose commits wait while `hold` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go = asyncio.Event()
        self.go.set()

    async def commit(self, follower: Follower, delta: Delta, /) -> StoreMark:
        await self.go.wait()
        return await super().commit(follower, delta)


async def acknowledged_too_soon(relay: HandDrivenRelay, follow: Follow) -> bool:
    store = Slow()
    async with follow(store=store) as kielto:
        await open_with(kielto, relay, "a", "b")
        await asyncio.sleep(0.5)
        relay.beating.clear()
        await asyncio.sleep(0.5)
        store.go.clear()
        record = message(customer("a", "1.2", allowed=False))
        put = await (await relay.raw(Lane.EXPRESS, record.key, record.value, record.headers))
        await asyncio.sleep(1.0)
        too_soon = any(
            (p.topic, p.partition) == (put.topic, put.partition) and p.offset > put.offset
            for ack in await relay.acknowledged()
            for p in ack.positions
        )
        store.go.set()
        await covering(relay, (put.topic, put.partition), put.offset)
        return too_soon


async def test_nothing_is_acknowledged_before_the_commit(relay: HandDrivenRelay, follow: Follow) -> None:
    assert not await acknowledged_too_soon(relay, follow)


async def test_planted_acknowledging_before_the_commit_is_seen(
    relay: HandDrivenRelay, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def commit(self: Session) -> None:
        delta = self.follower.take()
        self.committed = Committed.of(self.committed.mark, self.follower.state)
        self.on_commit(delta)
        await self._store.commit(self.follower, delta)
        self.follower.settle(delta)

    monkeypatch.setattr(Session, "_commit", commit)
    assert await acknowledged_too_soon(relay, follow)


@pytest.fixture
def many() -> Committed:
    flaws = tuple((f"{i:064x}", Flaw(Lane.BULK, 0, 10 + i, Version(1, i), "why")) for i in range(LISTED + 5))
    topics = {lane: UUID(int=i) for i, lane in enumerate(Lane)}
    positions = {(lane, 0): 1000 for lane in Lane}
    return Committed(StoreMark(UUID(int=7), 3), topics, positions, flaws[::-1])


def test_what_does_not_fit_into_the_exceptions_is_not_claimed(many: Committed) -> None:
    sender = AckSender("company.a", "crm", UUID(int=1), "t", {lane: f"topic-{lane}" for lane in Lane})
    ack = acknowledgement(sender, many, utc_now())
    assert [e.offset for e in ack.exceptions] == [10 + i for i in range(LISTED)]
    assert {p.topic: p.offset for p in ack.positions} == {
        "topic-bulk": 10 + LISTED,
        "topic-express": 1000,
    }
