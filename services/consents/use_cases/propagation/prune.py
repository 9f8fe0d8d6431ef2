"""Delete what proves nothing more (acknowledgements, publications), old results, and erased people's bulk records."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from kielto.events.topics import CONSENTS, Family, permissions_of
from kielto.group import Group
from kielto.service.database.pool import Conn
from kielto.service.outbox import tombstones
from services.consents.store.decisions import results
from services.consents.store.propagation import prune
from services.consents.store.propagation.acks import applied_erasures
from services.consents.use_cases.context import Context

_SOON_SECONDS = 300.0
_EVERY_SECONDS = 6 * 3600.0
_SETTLED = timedelta(days=1)
"""Nothing younger than this is deleted: a relay may record the position of a message late."""
_SILENCE = timedelta(days=7)
_RECORDS = 1000


async def prune_for_ever(context: Context) -> None:
    """Prune every six hours; the first time soon after the start, since a process may be restarted each day."""
    await asyncio.sleep(_SOON_SECONDS)
    while True:
        await prune_once(context)
        await results.forget(context.pool, context.settings.result_days)
        await asyncio.sleep(_EVERY_SECONDS)


async def prune_once(context: Context) -> tuple[int, int]:
    """Delete once; how many publications and acknowledgements. Two processes at a time share the work."""
    after, publications = ("", ""), 0
    async with context.pool.acquire() as conn:
        while found := await prune.keys(conn, after, _RECORDS):
            publications += await prune.publications(conn, found, _SETTLED)
            after = found[-1]
        now = context.clock()
        acks = await prune.acks(conn, now - _SETTLED)
        await prune.stores(conn, _SILENCE, now - timedelta(days=context.settings.dead_store_days))
    return publications, acks


async def write_tombstones_for_ever(context: Context) -> None:
    async def applied(conn: Conn, erased: Sequence[tombstones.ErasedRecord]) -> set[tuple[str, str]]:
        return await applied_erasures(conn, erased, context.group.subscribers)

    await tombstones.write_for_ever(context.pool, deadlines(context.group), applied)


def deadlines(group: Group) -> dict[Family, float]:
    """Seconds by family: the longest deadline of a subscriber of the party; of our own records the longest of all."""
    own = {
        permissions_of(party): max((s.deadline_seconds for s in group.subscribers_of(party)), default=0.0)
        for party in group.parties
    }
    return {CONSENTS: max(own.values()), **own}
