"""The task that carries launches on as long as the process runs, also those that a killed one left behind."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog

from kielto.service.keys import Keys
from kielto.service.postgres import AWAY, Pool
from services.marketing.metrics import WAITING
from services.marketing.use_cases.address import address_next

IDLE_SECONDS = 0.5
log = structlog.get_logger(__name__)


async def keep_launching(
    pool: Pool, keys: Keys, fresh: Callable[[], bool], clock: Callable[[], datetime], wake: asyncio.Event
) -> None:
    """Nobody is addressed while `fresh` says that the permissions we hold may be old: when in doubt, no."""
    waiting = False
    while True:
        wake.clear()
        if waiting is fresh():  # no longer so
            waiting = not waiting
            WAITING.set(waiting)
            log.info("launches.wait" if waiting else "launches.go")
        if waiting or not await _went_on(pool, keys, clock()):
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), IDLE_SECONDS)


async def _went_on(pool: Pool, keys: Keys, now: datetime) -> bool:
    try:
        return await address_next(pool, keys, now)
    except AWAY as error:  # also a deadlock with a batch of records: the chunk is done again
        log.warning("launches.database", error=type(error).__name__)
        return False
