"""Long work of one request must not keep the event loop from the others."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_SECONDS = 0.01

_BESIDE = ThreadPoolExecutor(1, "beside")
"""One thread: each more that computes makes the event loop wait longer for the interpreter's lock (5 ms a thread)."""


async def beside(work: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
    """The result of long work that waits for nothing itself; one such work after the other."""
    return await asyncio.get_running_loop().run_in_executor(_BESIDE, lambda: work(*args, **more))


async def in_turns(items: Iterable[T], at_once: int) -> AsyncIterator[T]:
    """The items; after so many, or a hundredth of a second, the event loop goes round, so that a ban does not wait for
    a whole batch, however much each of its items is.
    """
    began = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        if count % at_once == 0 or time.monotonic() - began > _SECONDS:
            await asyncio.sleep(0)
            began = time.monotonic()
