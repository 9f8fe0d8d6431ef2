"""A cancellation that comes while a producer is given up is a cancellation."""

import asyncio
from typing import Any

import pytest

from kielto import kafka


class ClosingProducer:
    """Its parts take a few turns of the loop to close, or fail."""

    def __init__(self, turns: int, error: Exception | None) -> None:
        self._sender = self.client = self
        self._turns, self._error = turns, error

    async def close(self) -> None:
        for _ in range(self._turns):
            await asyncio.sleep(0)
        if self._error is not None:
            raise self._error


async def give_up(producer: Any) -> None:
    await kafka.abort(producer)
    await asyncio.sleep(60)


@pytest.mark.parametrize("error", [None, AttributeError("never started")])
@pytest.mark.parametrize("closes_in", [0, 1, 2])
@pytest.mark.parametrize("turns", range(8))
async def test_whenever_it_is_cancelled_it_ends(turns: int, closes_in: int, error: Exception | None) -> None:
    task = asyncio.create_task(give_up(ClosingProducer(closes_in, error)))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=1)
    assert done, "it goes on, and whoever waits for its end waits for ever"
