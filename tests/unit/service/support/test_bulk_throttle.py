"""Bulk work gives way while people say no, and only then."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import pytest

from kielto.service.database.pool import Pool
from kielto.service.inbox.topic_reader import TopicReader
from kielto.service.inbox.transactional import Intake
from kielto.service.support.bulk_throttle import NOBODY, PORTION, SECONDS, BulkThrottle
from tests.tokens import SetClock


async def test_alone_it_takes_all_of_the_time_and_large_portions() -> None:
    throttle = BulkThrottle(0.25, SetClock())
    began = time.monotonic()
    await throttle.rest(10.0)
    assert time.monotonic() - began < 1.0
    assert throttle.portion(500) == 500


async def test_while_somebody_waits_it_takes_its_share_and_small_portions() -> None:
    throttle = BulkThrottle(0.25, SetClock())
    throttle.noticed()
    began = time.monotonic()
    await throttle.rest(0.1)
    assert time.monotonic() - began >= 0.29  # three times as long as it worked
    assert throttle.portion(500) == PORTION
    assert throttle.portion(7) == 7


async def test_some_time_after_the_last_no_it_goes_on_as_before() -> None:
    clock = SetClock()
    throttle = BulkThrottle(0.25, clock)
    throttle.noticed()
    clock.now += SECONDS - 1
    throttle.noticed()
    clock.now += SECONDS - 1
    assert throttle.due
    clock.now += 1
    assert not throttle.due


async def test_a_rest_ends_when_nobody_waits_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, slept = SetClock(), list[float]()

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.now += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    throttle = BulkThrottle(0.25, clock)
    throttle.noticed()
    await throttle.rest(20.0)  # a portion on a very busy machine: thrice as long would be a minute
    assert sum(slept) == SECONDS


async def test_a_share_of_all_never_rests() -> None:
    NOBODY.noticed()
    async with asyncio.timeout(1.0):
        await NOBODY.rest(1e9)
    assert NOBODY.portion(500) == 500


@dataclass
class Polled:
    offset: int
    topic: str = "customers.facts.v1"
    partition: int = 0


class BatchTaking:
    """In the place of what stores: notes how many records came in each transaction."""

    topic = "customers.facts.v1"

    def __init__(self) -> None:
        self.portions: list[int] = []

    async def take_batch(self, records: Sequence[Any]) -> None:
        self.portions.append(len(records))


@pytest.mark.parametrize(("said", "portions"), [(False, [2 * PORTION + 7]), (True, [PORTION, PORTION, 7])])
async def test_what_is_polled_is_taken_in_by_portions_while_somebody_waits(
    said: bool, portions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    throttle, taking, rests = BulkThrottle(0.25, SetClock()), BatchTaking(), list[float]()

    async def rest(worked: float) -> None:
        rests.append(worked)

    monkeypatch.setattr(throttle, "rest", rest)
    if said:
        throttle.noticed()
    reader = TopicReader(cast(Pool, None), cast(Intake, taking), throttle, batch=True)
    await reader.take([Polled(n) for n in range(2 * PORTION + 7)])
    assert taking.portions == portions
    assert len(rests) == len(portions)  # after each of them
