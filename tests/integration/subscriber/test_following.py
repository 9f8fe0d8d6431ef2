"""A subscriber with a store in memory on a real broker."""

import asyncio
import time

import pytest

from kielto.events.records import Permissions
from kielto.events.topics import Lane
from kielto.events.words import Status
from kielto.subscriber import Reason
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import NAMES, by_address, by_id, customer, open_with
from tests.integration.subscriber.relay import HandDrivenRelay
from tests.unit.subscriber.logs import hexes, message
from tests.waiting import until


async def test_shut_until_the_backfill_is_whole_then_open(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        begin = await relay.ends()
        await relay.backfill(*map(customer, NAMES), finish=False)
        relay.beating.set()
        await until(lambda: kielto.count() == len(NAMES))
        await asyncio.sleep(4 * relay.beat_seconds)
        assert kielto.may(by_id("c0")).reason is Reason.SNAPSHOT_INCOMPLETE
        await relay.finish(begin)
        async with asyncio.timeout(20):
            await kielto.ready()
        assert all(map(kielto.may, [*map(by_id, NAMES), *map(by_address, NAMES)]))
        assert kielto.may(by_id("nobody")).reason is Reason.UNKNOWN


async def test_a_ban_arrives_soon_and_a_late_permit_does_not_win(
    relay: HandDrivenRelay, follow: Follow
) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, *NAMES)
        took = []
        for name in NAMES[:20]:
            began = time.perf_counter()
            await relay.put(Lane.EXPRESS, customer(name, "1.3", allowed=False))
            await until(lambda name=name: not kielto.may(by_address(name)))  # type: ignore[misc]
            took.append(time.perf_counter() - began)
        assert sorted(took)[10] < 0.1  # nothing polls: a fetch is answered when there is something
        await relay.put(Lane.BULK, *(customer(name, "1.2") for name in NAMES[:20]), customer("last"))
        await until(lambda: kielto.may(by_id("last")))
        assert not any(map(kielto.may, map(by_id, NAMES[:20])))
        assert all(map(kielto.may, map(by_id, NAMES[20:])))


async def test_the_gate_shuts_when_the_beats_stop_and_opens_when_they_go_on(
    relay: HandDrivenRelay, follow: Follow
) -> None:
    async with follow(stale_seconds=1.0) as kielto:
        await open_with(kielto, relay, "a")
        relay.beating.clear()
        await until(lambda: kielto.shut() is Reason.STALE, seconds=5)
        assert kielto.may(by_id("a")).reason is Reason.STALE
        relay.beating.set()
        await until(lambda: kielto.may(by_id("a")), seconds=10)


async def test_a_new_leader_and_a_new_epoch(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a")
        relay.term, relay.n = 2, 0
        await asyncio.sleep(4 * relay.beat_seconds)
        assert kielto.may(by_id("a"))
        relay.epoch, relay.term, relay.n = 2, 3, 0
        await until(lambda: kielto.shut() is Reason.SNAPSHOT_INCOMPLETE)
        await relay.backfill(customer("a", "2.2"))
        await until(lambda: kielto.may(by_id("a")))


async def test_poison_on_the_wire(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a", "b")
        spoiled = message(customer("a", "1.2"))
        await (await relay.raw(Lane.BULK, spoiled.key, b"\xff", spoiled.headers))
        await until(lambda: kielto.may(by_id("a")).reason is Reason.DENIED)
        assert kielto.may(by_id("b"))
        await relay.put(Lane.EXPRESS, customer("a", "1.2"))
        await until(lambda: kielto.may(by_id("a")))
        await (await relay.raw(Lane.EXPRESS, b"nobody's", b"{}", [("ce_kieltoversion", b"1.1")], partition=0))
        await until(lambda: kielto.shut() is Reason.PARTITION_SHUT)


async def test_an_alias_and_an_erasure(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, "a", "b")
        alias = customer("a", "1.2").model_copy(update={"status": Status.ALIAS})
        bare = Permissions(version="1.2", subject=hexes("b"), status=Status.ERASED)
        await relay.put(Lane.EXPRESS, alias, bare)
        await until(lambda: not kielto.may(by_id("b")))
        assert kielto.may(by_address("a"))
        assert kielto.may(by_address("b")).reason is Reason.UNKNOWN
        tombstone = message(bare)
        await (await relay.raw(Lane.BULK, tombstone.key, None, tombstone.headers))
        await relay.put(Lane.BULK, customer("b", "1.1"), customer("last"))
        await until(lambda: kielto.may(by_id("last")))
        assert kielto.may(by_id("b")).reason is Reason.DENIED


async def test_waits_for_topics_that_are_not_there_yet(
    relay: HandDrivenRelay, follow: Follow, caplog: pytest.LogCaptureFixture
) -> None:
    party = f"{relay.party}x"
    async with follow(party=party) as kielto:
        await until(lambda: f"topic {party}.restrictions.v1 is missing" in caplog.text)
        async with HandDrivenRelay(relay.bootstrap, party) as later:
            await open_with(kielto, later, "a")
            assert kielto.may(by_id("a"))


async def test_recreated_topics_are_read_anew(relay: HandDrivenRelay, follow: Follow) -> None:
    async with follow() as kielto:
        await open_with(kielto, relay, *NAMES)
        await relay.put(Lane.EXPRESS, customer("c0", "1.2", allowed=False))
        await until(lambda: not kielto.may(by_id("c0")))
        relay.beating.clear()
        await relay.recreate(*(relay.family.topic(lane) for lane in Lane))
        relay.beating.set()
        await until(lambda: kielto.shut() is Reason.SNAPSHOT_INCOMPLETE)
        await relay.backfill(customer("c0", "1.1"), customer("c1", "1.1"), customer("new"))
        async with asyncio.timeout(20):
            await kielto.ready()
        assert kielto.may(by_id("new"))
        assert kielto.may(by_id("c1"))
        assert kielto.may(by_id("c0")).reason is Reason.DENIED  # the version is kept
        assert kielto.may(by_id("c2")).reason is Reason.DENIED  # the register no longer names it
