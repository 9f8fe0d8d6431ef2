"""What a tool behind the follower does wrong ends nothing: it is told again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from kielto.events.topics import Lane
from kielto.subscriber.sync.changes import Change, Changes, OnChange
from tests.unit.subscriber.logs import Script, message, permissions, snapshot


@contextlib.asynccontextmanager
async def telling(on_change: OnChange, script: Script) -> AsyncIterator[tuple[Changes, asyncio.Task[None]]]:
    changes = Changes(on_change, script.follower)
    async with asyncio.timeout(5):
        task = asyncio.create_task(changes.run())
        yield changes, task
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


def take_in(script: Script, changes: Changes, name: str, version: str) -> None:
    item = script.decoder.read(*message(permissions(name, version, ("mail", "email"))))
    script.follower.read(Lane.BULK, [(0, int(version[2:]), item)])
    delta = script.follower.take()
    script.follower.settle(delta)
    changes.committed(delta)


class FailingTool:
    def __init__(self, fails: Callable[[], None]) -> None:
        self.calls, self.told = 0, asyncio.Event()
        self.changes: list[Change] = []
        self.fails = fails

    async def __call__(self, changes: Sequence[Change]) -> None:
        self.calls += 1
        if self.calls < 3:
            self.fails()
        self.changes += changes
        self.told.set()


def cancelled() -> None:
    raise asyncio.CancelledError


def timed_out() -> None:
    raise TimeoutError


@pytest.mark.parametrize("fails", [cancelled, timed_out])
async def test_a_call_that_fails_in_any_way_is_made_again(
    fails: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation inside the tool (a request of its own that it gave up) is no end of the following."""
    monkeypatch.setattr("kielto.subscriber.sync.changes.RETRY_SECONDS", (0.01, 0.01))
    script, tool = Script(durable=True), FailingTool(fails)
    async with telling(tool, script) as (changes, task):
        take_in(script, changes, "a", "1.1")
        await tool.told.wait()
        assert not task.done()
    assert tool.calls == 3
    assert [change.allowed for change in tool.changes] == [True]


async def test_cancelled_while_the_tool_works(monkeypatch: pytest.MonkeyPatch) -> None:
    script, began = Script(durable=True), asyncio.Event()

    async def hangs(_: Sequence[Change]) -> None:
        began.set()
        await asyncio.Event().wait()

    async with telling(hangs, script) as (changes, _):
        take_in(script, changes, "a", "1.1")
        await began.wait()


async def test_who_is_swept_is_not_said_to_be_allowed() -> None:
    script, tool = Script(durable=True), FailingTool(lambda: None)
    script.bulk(permissions("a", "1.1", ("mail", "email")))
    script.bulk(snapshot(begin_express=1, begin_bulk=1))
    async with telling(tool, script) as (changes, _):
        changes._add(permissions("a", "1.1").subject)
        await tool.told.wait()
    assert [change.allowed for change in tool.changes] == [False]
