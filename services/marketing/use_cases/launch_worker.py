"""The task that does launches as long as the process runs, including those that a killed process left."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from kielto import kafka
from kielto.service.database.pool import AWAY
from kielto.service.support.supervise import within
from services.marketing.metrics import WAITING
from services.marketing.store import campaigns
from services.marketing.use_cases.build_audience import address_next
from services.marketing.use_cases.catch_up import CatchUp, Ends
from services.marketing.use_cases.context import MarketingContext
from services.marketing.use_cases.recall import end_next

IDLE_SECONDS = 0.5
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Launches:
    """`fresh`: whether the permissions held are recent: nobody is addressed while they may be old. `look`: see
    `catch_up`; `patience`: for how many seconds a launch waits for what is on its way.
    """

    context: MarketingContext
    fresh: Callable[[], bool]
    look: Callable[[], Awaitable[tuple[Ends, Ends, bool]]]
    patience: float
    _waiting: dict[UUID, CatchUp] = field(default_factory=dict)

    async def run(self) -> None:
        """Do launches until cancelled."""
        stale = False
        while True:
            self.context.wake.clear()
            if stale is self.fresh():  # no longer so
                stale = not stale
                WAITING.set(stale)
                if stale:
                    log.info("launches.waiting")
                else:
                    log.info("launches.resumed")
            if not await self._went_on(stale):
                await within(IDLE_SECONDS, self.context.wake.wait())

    async def _went_on(self, stale: bool) -> bool:
        try:
            if await end_next(self.context.pool, self.context.group, self.context.clock()):
                return True
            if stale or await self._catches_up():
                return False
            return await address_next(self.context.pool, self.context.keys, self.context.clock())
        except (*AWAY, *kafka.DOWN) as error:  # AWAY includes a deadlock with a batch of records: try again
            log.warning("launches.unavailable", error=type(error).__name__)
            return False

    async def _catches_up(self) -> bool:
        """Whether the oldest launch must wait for people who were registered just before it. All launches wait at the
        same time, not one after another.
        """
        async with self.context.pool.acquire() as conn:
            launching = await campaigns.launching(conn)
        now = time.monotonic()
        self._waiting = {c.id: self._waiting.get(c.id) or CatchUp(now) for c in launching}
        campaign = next(iter(launching), None)
        if campaign is None or campaign.seen or campaign.caught_up:
            return False
        waiting = self._waiting[campaign.id]
        reason = waiting.waits_for(*await self.look(), now)
        if reason is not None and now - waiting.began > self.patience:
            log.warning("launches.not_caught_up", campaign=str(campaign.id), waits_for=reason)
            reason = None
        if reason != campaign.waiting_for or reason is None:
            async with self.context.pool.acquire() as conn:
                await campaigns.set_waiting(conn, campaign.id, reason)
        return reason is not None
