"""A tool behind the follower: told before the acknowledgement, again when it fails, and again after a crash."""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deploy.local.paths import ROOT
from deploy.local.servers.stack import Stack
from kielto.events.topics import Lane
from kielto.subscriber import Change, MemoryStore, PostgresStore
from kielto.subscriber.stores.base import Store
from tests.integration.subscriber.conftest import Follow
from tests.integration.subscriber.customers import by_id, customer, open_with
from tests.integration.subscriber.relay import HandDrivenRelay
from tests.unit.subscriber.logs import hexes
from tests.waiting import until


class CampaignTool:
    """Who is enabled in it. It stops at a closed door, and fails as often as it is told to."""

    def __init__(self) -> None:
        self.enabled: dict[str, bool] = {}
        self.calls: list[Sequence[Change]] = []
        self.open, self.fails = asyncio.Event(), 0
        self.open.set()

    async def __call__(self, changes: Sequence[Change]) -> None:
        self.calls.append(changes)
        await self.open.wait()
        if self.fails:
            self.fails -= 1
            raise RuntimeError("secret@example.com")
        self.enabled |= {change.customer: change.allowed for change in changes}


@pytest.fixture
def dsn(database: Callable[[str], str]) -> str:
    return database("store")


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest, dsn: str) -> Store:
    return MemoryStore() if request.param == "memory" else PostgresStore(dsn)


async def is_acknowledged(relay: HandDrivenRelay, place: tuple[int, int]) -> bool:
    """Whether the last acknowledgement is past the record at (partition, offset) of the express lane."""
    acks, where = await relay.acknowledged(), (relay.family.topic(Lane.EXPRESS), place[0])
    return any((p.topic, p.partition) == where and p.offset > place[1] for p in acks[-1].positions)


async def until_acknowledged(relay: HandDrivenRelay, place: tuple[int, int]) -> None:
    async with asyncio.timeout(15):
        while not await is_acknowledged(relay, place):  # noqa: ASYNC110 - only the broker can tell
            await asyncio.sleep(0.1)


async def test_it_is_told_before_it_is_acknowledged(
    relay: HandDrivenRelay, follow: Follow, store: Store
) -> None:
    tool = CampaignTool()
    async with follow(store=store, on_change=tool) as kielto:
        await open_with(kielto, relay, "a", "b")
        await until(lambda: len(tool.enabled) == 2)
        assert tool.enabled == {hexes("a"): True, hexes("b"): True}
        tool.open.clear()
        calls = len(tool.calls)
        (place,) = await relay.put(Lane.EXPRESS, customer("a", "1.2", allowed=False))
        await until(lambda: len(tool.calls) > calls)
        assert not kielto.may(by_id("a"))  # here it holds already
        await asyncio.sleep(2 * relay.beat_seconds)
        assert not await is_acknowledged(relay, place)
        tool.open.set()
        await until(lambda: tool.enabled[hexes("a")] is False)
        await until_acknowledged(relay, place)
        assert tool.enabled == {hexes("a"): False, hexes("b"): True}


async def test_it_fails_and_is_told_again(
    relay: HandDrivenRelay,
    follow: Follow,
    store: Store,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kielto.subscriber.sync.changes.RETRY_SECONDS", (0.05, 0.1))
    tool = CampaignTool()
    tool.fails = 3
    async with follow(store=store, on_change=tool) as kielto:
        await open_with(kielto, relay, "a")
        await until(lambda: tool.enabled == {hexes("a"): True})
    assert len(tool.calls) >= 4
    assert "on_change raised RuntimeError" in caplog.text
    assert "secret" not in caplog.text


async def test_what_was_not_confirmed_is_told_again_after_a_restart(
    relay: HandDrivenRelay, follow: Follow, dsn: str
) -> None:
    tool = CampaignTool()
    async with follow(store=PostgresStore(dsn), on_change=tool) as kielto:
        await open_with(kielto, relay, "a", "b", "c")
        await until(lambda: len(tool.enabled) == 3)
        await asyncio.sleep(3 * relay.beat_seconds)  # that it is confirmed is kept with the next commit
        tool.open.clear()
        calls = len(tool.calls)
        (place,) = await relay.put(Lane.EXPRESS, customer("a", "1.2", allowed=False))
        await until(lambda: len(tool.calls) > calls)
        generation = (await relay.acknowledged())[-1].generation
    again = CampaignTool()
    async with follow(store=PostgresStore(dsn), on_change=again) as kielto:
        await until(lambda: again.enabled.get(hexes("a")) is False)
        await kielto.ready()
        await until_acknowledged(relay, place)
    assert set(again.enabled) == {hexes("a")}
    acks = await relay.acknowledged()
    assert {ack.generation for ack in acks} == {generation}
    positions = [[p.offset for p in ack.positions] for ack in acks if len(ack.positions) == 12]
    assert all(x <= y for one, two in itertools.pairwise(positions) for x, y in zip(one, two, strict=True))


async def test_killed_while_the_tool_is_at_work(
    stack: Stack, relay: HandDrivenRelay, follow: Follow, dsn: str, tmp_path: Path
) -> None:
    await relay.backfill(customer("a"), customer("b"))
    command = [sys.executable, "-m", "tests.integration.subscriber.child"]
    arguments = [stack.kafka.bootstrap, relay.party, dsn, str(tmp_path / "spool.sqlite"), "hang"]
    with subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:  # noqa: ASYNC220
        assert child.stdout is not None
        assert await asyncio.to_thread(child.stdout.readline) == "at work\n"
        child.send_signal(signal.SIGKILL)
        child.wait(10)
    assert await relay.acknowledged() == []
    tool = CampaignTool()
    async with follow(store=PostgresStore(dsn), on_change=tool) as kielto:
        await kielto.ready()
        await until(lambda: tool.enabled == {hexes("a"): True, hexes("b"): True})


async def test_one_that_comes_later_is_told_of_everybody(
    relay: HandDrivenRelay, follow: Follow, dsn: str
) -> None:
    async with follow(store=PostgresStore(dsn)) as kielto:
        await open_with(kielto, relay, "a", "b")
    tool = CampaignTool()
    async with follow(store=PostgresStore(dsn), on_change=tool):
        await until(lambda: tool.enabled == {hexes("a"): True, hexes("b"): True})
