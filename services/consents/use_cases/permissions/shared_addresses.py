"""Addresses that many customers have: a decision about one takes effect in portions. Most are mistakes of a source."""

import asyncio

from services.consents import metrics
from services.consents.store.permissions import shared_addresses as store
from services.consents.store.permissions.shared_addresses import SharedAddress
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.decide import MANY

_EVERY_SECONDS = 3600.0


async def shared_addresses(context: Context) -> list[SharedAddress]:
    async with context.pool.acquire() as conn:
        return await store.listed(conn, MANY)


async def measure_for_ever(context: Context) -> None:
    """Update the metric."""
    while True:
        metrics.SHARED_ADDRESSES.set(len(await shared_addresses(context)))
        await asyncio.sleep(_EVERY_SECONDS)
