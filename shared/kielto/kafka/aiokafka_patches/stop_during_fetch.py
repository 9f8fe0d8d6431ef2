"""Makes `stop()` of a consumer work while a fetch fails or is being cancelled.

aiokafka 0.14 (its issue 974) pauses after a failed fetch. `stop()` in that pause raises CancelledError, as if the
caller's task had been cancelled, and leaves the connections open. A task group takes this for a normal end, so the
reader ends unnoticed; FastStream then does not stop its other consumers, which keep their partitions. With this patch
a fetch that is cancelled in the pause ends normally.

If a consumer was unassigned just before `stop()`, its fetcher takes its own cancellation for that of its fetches, waits
for the next assignment, and `stop()` waits for ever. With this patch the fetcher is cancelled until it has ended.
`kielto.kafka.clients` calls `install`.
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
