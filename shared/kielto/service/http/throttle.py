"""Limits per party, so that one company's callers cannot keep out another's."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, Request

from kielto.service.http.auth import Caller
from kielto.service.http.problem import ProblemError
from kielto.service.support.limits import Limits
from kielto.service.support.shares import Rate, Shares


class Throttle:
    """Limits by party, as `limits` sets them. Each method raises ProblemError 429, or CrowdedError (answered 429) and
    BusyError (503) of `shares`.
    """

    def __init__(self, limits: Limits) -> None:
        self._subjects = Shares(limits.subject_requests, limits.party_waiting, limits.wait_seconds)
        self._nos = Shares(limits.party_waiting, 0, limits.wait_seconds)
        self._decisions = Rate(limits.decisions_per_second, 2 * limits.decisions_per_second)
        self._recipients = Rate(limits.recipients_per_second, 10 * limits.recipients_per_second)
        self._imports = Shares(limits.imports_per_party, 0, limits.wait_seconds)

    @asynccontextmanager
    async def decision(self, caller: Caller, subject: str, *, is_no: bool) -> AsyncIterator[None]:
        """Around a decision about one subject. A *no* waits for the rate; so many that one party's would take all of
        the connections do not.
        """
        seconds = self._decisions.missing(caller.company, 1)
        if seconds and not is_no:
            raise too_many(seconds)
        if seconds:
            async with self._nos.turn(caller.company):
                await asyncio.sleep(self._decisions.reserve(caller.company, 1))
        async with self._subjects.turn((caller.company, subject)):
            yield

    def recipients(self, caller: Caller, many: int) -> None:
        """Count a clearance of this many recipients against the party's rate. Raises ProblemError 429."""
        if seconds := self._recipients.missing(caller.company, many):
            raise too_many(seconds)

    @asynccontextmanager
    async def importing(self, caller: Caller) -> AsyncIterator[None]:
        """Hold a turn during an import."""
        async with self._imports.turn(caller.company):
            yield


def too_many(seconds: float = 1.0) -> ProblemError:
    """`seconds`: after which it is worth to try again."""
    return ProblemError(
        429,
        "too-many-requests",
        "Too many requests of your company: retry after the seconds in Retry-After",
        headers={"Retry-After": str(max(1, math.ceil(seconds)))},
    )


async def _throttle(request: Request) -> Throttle:
    found: Throttle = request.app.state.throttle
    return found


Throttled = Annotated[Throttle, Depends(_throttle)]
