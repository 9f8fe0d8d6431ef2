"""Calls `on_change` with changed customers, after the store's commit and before the acknowledgement.

Each change is given at least once. A store that lasts keeps up to which positions changes were confirmed, and each row
has the offset of its record, so unconfirmed changes are given again after a restart. Nothing is acknowledged after a
start until they are confirmed, because an acknowledgement that goes back would mean that the store was restored.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from kielto.events.topics import Lane
from kielto.subscriber.columnar.table import Image
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Delta, FollowerState
from kielto.subscriber.stores.base import StoredRow
from kielto.subscriber.support.brokers import ThrottledLog

log = logging.getLogger(__name__)
BATCH = 1000
"""Changes in one call of `on_change`."""
ROOM = 50_000
"""With so many unconfirmed changes reading stops, and the gate becomes stale by itself."""
RETRY_SECONDS = (0.5, 30.0)


class Change(NamedTuple):
    """`customer`: 64 hex digits. `allowed`: whether the record permits anything now; False if it cannot be read or the
    register no longer has the customer. Ask `Subscriber.may` what exactly is permitted.
    """

    customer: str
    allowed: bool


OnChange = Callable[[Sequence[Change]], Awaitable[None]]


class Changes:
    """`on_confirm` is called when more may be acknowledged."""

    def __init__(self, on_change: OnChange, follower: Follower) -> None:
        self._on_change, self._follower = on_change, follower
        self.on_confirm: Callable[[], None] = lambda: None
        self.caught_up = False
        """Whether everything that the store held at the start is confirmed."""
        if follower.state.confirmed is None:  # nothing was confirmed ever: all customers are new
            follower.state.confirmed = {}
        self._waiting: dict[str, None] = {}
        self._upto, self._topics = self._here()
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._news.set()

    def _here(self) -> tuple[dict[tuple[Lane, int], int], dict[Lane, UUID]]:
        return dict(self._follower.state.positions), dict(self._follower.state.topics)

    def loaded(self, rows: Iterable[StoredRow]) -> None:
        """Note rows that the store had at its start: unconfirmed ones are given again."""
        for row in rows:
            if is_unconfirmed(self._follower.state, row):
                self._add(row.key)

    def committed(self, delta: Delta) -> None:
        """Note that the store holds `delta`."""
        image = self._follower.image
        for key, value in delta.rows.items():
            if value is not None or _unreadable(image, key):
                self._add(key)
        self._upto, self._topics = self._here()
        self._news.set()

    def _add(self, key: str) -> None:
        self._waiting[key] = None
        self._news.set()
        if len(self._waiting) >= ROOM:
            self._room.clear()

    async def room(self) -> None:
        """Wait until more may be read."""
        await self._room.wait()

    async def run(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            taken, self._waiting = list(self._waiting), {}
            upto, topics = self._upto, self._topics
            for start in range(0, len(taken), BATCH):
                await self._tell(taken[start : start + BATCH])
            self._room.set()
            now = self._follower.state
            now.confirmed = {
                (lane, part): at for (lane, part), at in upto.items() if topics[lane] == now.topics[lane]
            }
            if taken or not self.caught_up:
                self.caught_up = True
                self.on_confirm()

    async def _tell(self, keys: Sequence[str]) -> None:
        pause, warnings = RETRY_SECONDS[0], ThrottledLog(log)
        while True:
            try:
                await self._on_change([Change(key, self._allowed(key)) for key in keys])
            except asyncio.CancelledError:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise  # else something that on_change awaited was cancelled
                failed = "CancelledError"
            except Exception as error:  # noqa: BLE001 - whatever it is, the change is not confirmed
                failed = type(error).__name__
            else:
                return
            warnings.warn("on_change raised %s; nothing is acknowledged until it succeeds", failed)
            await asyncio.sleep(pause)
            pause = min(2 * pause, RETRY_SECONDS[1])

    def _allowed(self, key: str) -> bool:
        image = self._follower.image
        row = image.find(key)
        if row is None or image.unreadable(row) or self._follower.swept(row):
            return False
        return any(terms for point in image.shape(row).points for terms in point.values())


def is_unconfirmed(state: FollowerState, row: StoredRow) -> bool:
    """Whether the row's record was read at or above the confirmed position, on either topic."""
    confirmed = state.positions if state.confirmed is None else state.confirmed
    seen = ((Lane.EXPRESS, row.express), (Lane.BULK, row.bulk))
    return any(offset >= confirmed.get((lane, row.partition), 0) for lane, offset in seen if offset >= 0)


def _unreadable(image: Image, key: str) -> bool:
    row = image.find(key)
    return row is not None and image.unreadable(row)
