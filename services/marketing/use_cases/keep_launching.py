"""The task that carries launches on as long as the process runs, also those that a killed one left behind."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

import structlog

from kielto.service.keys import Keys
from kielto.service.postgres import Pool
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
        if waiting == fresh():
            waiting = not waiting
            WAITING.set(waiting)
            log.info("launches.wait" if waiting else "launches.go")
        if waiting or not await address_next(pool, keys, clock()):
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), IDLE_SECONDS)
