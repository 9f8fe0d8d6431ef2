"""Keeps what proof needs, and no more, for ever."""

import asyncio
from datetime import UTC, datetime, timedelta

from kielto.service.database.pool import Pool
from services.consents.store.decisions import results
from services.consents.store.propagation import prune

_SOON_SECONDS = 300.0
_EVERY_SECONDS = 6 * 3600.0
_SETTLED = timedelta(days=1)
"""Younger than this nothing is pruned: a relay may note late where it put a record."""
_SILENCE = timedelta(days=7)
_RECORDS = 1000


async def prune_for_ever(pool: Pool, dead_store_days: int, result_days: int) -> None:
    """For the first time soon: a process may be begun anew each day, or more often."""
    await asyncio.sleep(_SOON_SECONDS)
    while True:
        await once(pool, dead_store_days)
        await results.forget(pool, result_days)
        await asyncio.sleep(_EVERY_SECONDS)


async def once(pool: Pool, dead_store_days: int) -> tuple[int, int]:
    """How many publications and acknowledgements went. Two processes at once only share the work."""
    after, publications = ("", ""), 0
    async with pool.acquire() as conn:
        while found := await prune.keys(conn, after, _RECORDS):
            publications += await prune.publications(conn, found, _SETTLED)
            after = (found[-1]["family"], found[-1]["key"])
        now = datetime.now(UTC)
        acks = await prune.acks(conn, now - _SETTLED)
        await prune.stores(conn, _SILENCE, now - timedelta(days=dead_store_days))
    return publications, acks
