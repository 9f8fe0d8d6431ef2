"""Turns and rates by key: nobody keeps out another, nobody waits for ever, and no key is kept."""

import asyncio
from typing import Any

import pytest

from kielto.service.http.auth import Caller
from kielto.service.http.problem import ProblemError
from kielto.service.http.throttle import Throttle
from kielto.service.support.limits import Limits
from kielto.service.support.shares import BusyError, CrowdedError, Rate, Shares

KAUPPA, SAHKO = (Caller("someone", frozenset(), company) for company in ("kauppa", "sahko"))


async def test_turns_are_had_in_order_and_given_back() -> None:
    shares, order = Shares(1, 10, 5.0), []

    async def one(n: int) -> None:
        async with shares.turn("a"):
            order.append(n)
            await asyncio.sleep(0)

    await asyncio.gather(*(one(n) for n in range(5)))
    assert order == [0, 1, 2, 3, 4]
    assert not shares._turns, "no key is kept"


async def test_a_key_that_is_full_holds_up_no_other() -> None:
    shares = Shares(2, 3, 0.1)
    for _ in range(2):
        await shares.take("a")
    waiting = [asyncio.create_task(shares.take("a")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(CrowdedError):
        await shares.take("a")
    async with asyncio.timeout(0.05), shares.turn("b"):
        pass
    for task in waiting:
        with pytest.raises(BusyError):
            await task
    shares.give_back("a")
    shares.give_back("a")
    assert not shares._turns


async def test_who_leaves_while_waiting_takes_nothing_along() -> None:
    shares = Shares(1, 5, 5.0)
    await shares.take("a")
    leaving = asyncio.create_task(shares.take("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    shares.give_back("a")
    async with asyncio.timeout(0.1), shares.turn("a"):
        pass
    assert not shares._turns


def test_a_rate_has_a_burst_and_fills_again() -> None:
    now = [0.0]
    rate = Rate(10, 20, lambda: now[0])
    assert [rate.missing("a", 1) for _ in range(20)] == [0.0] * 20
    assert rate.missing("a", 1) == pytest.approx(0.1)
    assert rate.missing("b", 20) == 0.0, "another's is its own"
    now[0] = 0.1
    assert rate.missing("a", 1) == 0.0
    now[0] = 100.0
    assert rate.missing("a", 1000) == 0.0, "more than a burst is had when the bucket is full"
    assert rate.missing("a", 1) > 90, "and paid for afterwards"


async def test_a_no_waits_where_a_yes_is_refused() -> None:
    throttle = Throttle(Limits(decisions_per_second=20))
    loop = asyncio.get_running_loop()

    async def decide(caller: Caller, *, is_no: bool) -> float:
        began = loop.time()
        async with throttle.decision(caller, "c:1", is_no=is_no):
            return loop.time() - began

    first = asyncio.gather(*(decide(KAUPPA, is_no=True) for _ in range(50)))
    await asyncio.sleep(0)
    with pytest.raises(ProblemError) as refused:
        await decide(KAUPPA, is_no=False)
    assert (refused.value.status, refused.value.slug) == (429, "too-many-requests")
    assert int(refused.value.headers["Retry-After"]) >= 1
    assert await decide(SAHKO, is_no=False) < 0.1
    assert 0.2 < max(await first) < 3.0


async def test_as_many_nos_wait_as_may_and_no_more() -> None:
    """Each holds a connection while it waits: without a bound one party's would take all of them."""
    throttle = Throttle(Limits(decisions_per_second=10, party_waiting=30))

    async def decide(caller: Caller, subject: int) -> bool:
        try:
            async with throttle.decision(caller, f"c:{subject}", is_no=True):
                return True
        except CrowdedError:
            return False

    async with asyncio.timeout(5):
        taken = await asyncio.gather(*(decide(KAUPPA, n) for n in range(200)))
    assert sum(taken) == 20 + 30, "a burst, and those who wait"
    assert await decide(SAHKO, 0)
    assert await decide(KAUPPA, 0), "those who waited have left"


async def test_recipients_are_counted() -> None:
    throttle = Throttle(Limits(recipients_per_second=1000))
    for _ in range(10):
        throttle.recipients(KAUPPA, 1000)
    with pytest.raises(ProblemError) as refused:
        throttle.recipients(KAUPPA, 500)
    assert refused.value.status == 429
    throttle.recipients(SAHKO, 10_000)


async def test_imports_of_a_party_are_bounded() -> None:
    throttle = Throttle(Limits(imports_per_party=1))
    async with throttle.importing(KAUPPA):
        with pytest.raises(CrowdedError):
            await _enter(throttle.importing(KAUPPA))
        async with throttle.importing(SAHKO):
            pass
    async with throttle.importing(KAUPPA):
        pass


async def _enter(turn: Any) -> None:
    async with turn:
        pass
