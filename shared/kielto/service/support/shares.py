"""Fair shares by key (a party or a subject): limits on concurrent work and on rates, so that one key cannot starve
others.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager

from kielto.errors import KieltoError
from kielto.service.support.supervise import within

_ROUNDING = 1e-6


class CrowdedError(KieltoError):
    """Too many requests wait for this key already."""


class BusyError(KieltoError, TimeoutError):
    """The wait for a turn took too long."""


class Shares:
    """At most `most` concurrent turns per key; up to `waiting` more wait in order, each at most `seconds`.

    Keys are kept only as long as somebody has or awaits a turn.
    """

    def __init__(self, most: int, waiting: int, seconds: float) -> None:
        self._most, self._waiting, self._seconds = most, waiting, seconds
        self._turns: dict[Hashable, _Turns] = {}

    async def take(self, key: Hashable) -> None:
        """Wait for a turn; call `give_back` when it is done. Raises CrowdedError, or BusyError."""
        turns = self._turns.get(key)
        if turns is None:
            turns = self._turns[key] = _Turns(self._most)
        elif turns.users >= self._most + self._waiting:
            raise CrowdedError
        turns.users += 1
        try:
            if not turns.free.locked():
                await turns.free.acquire()
            elif await within(self._seconds, turns.free.acquire()) is None:
                raise BusyError
        except BaseException:
            self._left(key, turns)
            raise

    def give_back(self, key: Hashable) -> None:
        turns = self._turns[key]
        turns.free.release()
        self._left(key, turns)

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncIterator[None]:
        await self.take(key)
        try:
            yield
        finally:
            self.give_back(key)

    def _left(self, key: Hashable, turns: "_Turns") -> None:
        turns.users -= 1
        if not turns.users:
            del self._turns[key]


class _Turns:
    def __init__(self, most: int) -> None:
        self.free = asyncio.Semaphore(most)
        self.users = 0
        """How many have a turn or wait for one."""


class Rate:
    """A rate limit per key: a token bucket with a burst. Keys are the group's parties, so they are few."""

    def __init__(self, per_second: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = per_second, burst, clock
        self._full_at: dict[Hashable, float] = {}
        """When the key's bucket will be full again."""

    def missing(self, key: Hashable, amount: float) -> float:
        """Take `amount` and return 0; if there is not enough, take nothing and return the seconds until there is. An
        amount above the burst needs a full bucket.
        """
        seconds = self._after(key, amount)
        if seconds > _ROUNDING:
            return seconds
        self._take(key, amount)
        return 0.0

    def reserve(self, key: Hashable, amount: float) -> float:
        """Take `amount` in any case; returns the seconds to wait before using it."""
        seconds = self._after(key, amount)
        self._take(key, amount)
        return max(0.0, seconds)

    def _after(self, key: Hashable, amount: float) -> float:
        lacking = max(0.0, self._full_at.get(key, 0.0) - self._clock()) * self._rate
        return (lacking + min(amount, self._burst) - self._burst) / self._rate

    def _take(self, key: Hashable, amount: float) -> None:
        self._full_at[key] = max(self._full_at.get(key, 0.0), self._clock()) + amount / self._rate
