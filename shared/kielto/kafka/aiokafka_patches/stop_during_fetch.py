"""A consumer must stop, whatever its fetches are doing just then.

aiokafka 0.14 (its issue 974): a fetch that failed pauses for a moment; `stop()` in that pause raises the cancellation
of the fetch as if the caller's own task had been cancelled, and leaves the connections open. A task group takes that
for an end in order, so a reader was gone without a word; FastStream cancels the stopping of its other consumers
over it, which go on holding their partitions. `install()` has such a fetch end as it does when it is cancelled at
any other place.

And a consumer that was unassigned just before is stopped while its fetcher waits for the fetches that it has
cancelled: there the cancellation of the fetcher itself is taken for theirs, it waits for a next assignment, and
`stop()` waits for it, for ever. So it is cancelled until it has ended. Part of the adapter, whose clients install it.
"""

# ruff: noqa: SLF001 - there is no public way to a fetch
import asyncio
from typing import Any

from aiokafka.consumer.fetcher import Fetcher

_fetch, _close = Fetcher._proc_fetch_request, Fetcher.close
_AGAIN_SECONDS = 0.05


def install() -> None:
    Fetcher._proc_fetch_request = _ended
    Fetcher.close = _closed


async def _closed(self: Any) -> None:
    while not self._fetch_task.done():
        self._fetch_task.cancel()
        await asyncio.wait([self._fetch_task], timeout=_AGAIN_SECONDS)
    await _close(self)


async def _ended(self: Any, *request: Any) -> bool:
    try:
        return bool(await _fetch(self, *request))
    except asyncio.CancelledError:
        return False
