"""Long work on one event loop, in turns with everybody else's."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

T = TypeVar("T")


async def in_turns(items: Iterable[T], at_once: int) -> AsyncIterator[T]:
    """The items; after so many the event loop goes round, so that a ban does not wait for a whole batch."""
    for count, item in enumerate(items, 1):
        yield item
        if count % at_once == 0:
            await asyncio.sleep(0)
