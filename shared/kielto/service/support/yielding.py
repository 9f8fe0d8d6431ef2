"""Keep long computations of one request or batch from blocking the event loop."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_SECONDS = 0.005

_BESIDE = ThreadPoolExecutor(1, "beside")
"""One thread: each more that computes makes the event loop wait longer for the interpreter's lock (5 ms a thread)."""


async def beside(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """The result of long work that waits for nothing itself; one such work after the other."""
    return await asyncio.get_running_loop().run_in_executor(_BESIDE, lambda: work(*args, **more))


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield the items, and yield to the event loop every 5 ms, so that a batch does not block requests."""
    began = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - began > _SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
