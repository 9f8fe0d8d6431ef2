"""How the library tries again on the brokers."""

import asyncio
import logging

import pytest

from kielto.subscriber.support import brokers
from kielto.subscriber.support.brokers import BROKER, Brokers


async def test_the_pauses_double_and_the_problem_is_kept_until_it_works(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked, now, tries = Brokers("nowhere:1"), 100.0, 0
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def work() -> None:
        nonlocal now, tries
        tries += 1
        if tries == 6:
            asked.works("submit")
            assert asked.problem() is None
            now += 60  # it worked for a minute
        if tries == 8:
            raise asyncio.CancelledError
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(brokers, "clock", lambda: now)
    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await asked.retry("submit", work, "not sent")
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 0.1, 0.2]
    assert asked.problem() == BROKER
    assert [record.message for record in caplog.records] == [
        "not sent; trying again: ConnectionRefusedError"
    ] * 2


async def test_what_is_no_fault_of_the_brokers_is_raised() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Brokers("nowhere:1").retry(None, work, "not sent", (ConnectionError,))
