"""Compute the records of a decision about many customers in portions, after its commit.

The decision is in the database, so whoever computes one of those customers meanwhile sees it. Until the last record of
a family is published no beat vouches for that family, and a clearance of whoever is still owed a record denies. Any
process does the work; one that is killed loses a portion, which another does again.
"""

import asyncio

from pydantic import BaseModel, Field

from kielto.service.database import epoch
from kielto.service.database.pool import AWAY, Conn, transaction
from kielto.service.support.supervise import Backoff, supervise
from kielto.service.support.yielding import in_turns
from services.consents import metrics
from services.consents.store.decisions import decisions
from services.consents.store.permissions import consequences, locks, state
from services.consents.store.permissions.customers import SharedAddress, list_shared
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.decide import MANY
from services.consents.use_cases.permissions.evaluate_people import evaluate_people
from services.consents.use_cases.permissions.publish_records import bearing, republish

PORTION = 200
"""Customers in a transaction: whoever decides about one of them waits for some tenths of a second at most."""
_IDLE_SECONDS = 0.25


async def work_off_for_ever(context: Context) -> None:
    """Compute portions while there are any; the gates of the families concerned are shut meanwhile."""

    async def work() -> None:
        while True:
            more = await work_off(context)
            backlog = await consequences.backlog(context.pool)
            metrics.CONSEQUENCES_PENDING.set(backlog.decisions)
            metrics.CONSEQUENCES_SECONDS.set(backlog.oldest_seconds)
            if not more:
                await asyncio.sleep(_IDLE_SECONDS)

    await supervise("portions", work, (*AWAY, epoch.EpochNotOpenError), Backoff(_IDLE_SECONDS, 5.0))


async def work_off(context: Context) -> bool:
    """Compute one portion of the decision that waits longest; False when there is none that nobody else works on."""
    try:
        async with transaction(context.pool) as conn:
            begun = await consequences.next_owed(conn)
            if begun is None:
                return False
            await _portion(conn, context, begun)
    except locks.SubjectsMovedError:
        pass  # who is concerned changed meanwhile: the next attempt finds them
    return True


async def _portion(conn: Conn, context: Context, begun: consequences.OwedDecision) -> None:
    """Raises SubjectsMovedError."""
    customers = await consequences.portion(conn, begun, PORTION)
    if not customers:
        await consequences.end(conn, begun.decision)
        return
    locked = await locks.for_portion(conn, customers)
    found = await state.load(conn, customers, alone=True)
    locks.must_cover(locked, found.hit)
    said = (decision for decisions in found.decisions.values() for decision in decisions)
    # None: it counts for none of these customers any more.
    decision = next((decision for decision in said if decision.id == begun.decision), None)
    people = [one async for one in in_turns(evaluate_people(context, found))]
    written = await republish(conn, context, found, people, context.clock(), because=decision)
    if decision is not None:
        await decisions.add_records(conn, bearing(written, decision, context.facts), begun.since)
    await consequences.mark_done(conn, begun.decision, customers)


_EVERY_SECONDS = 3600.0


class SharedAddresses(BaseModel):
    addresses: list[SharedAddress] = Field(description="The most shared first, at most 1000.")


async def list_shared_addresses(context: Context) -> SharedAddresses:
    return SharedAddresses(addresses=await list_shared(context.pool, MANY))


async def measure_for_ever(context: Context) -> None:
    """Update the metric."""
    while True:
        metrics.SHARED_ADDRESSES.set(len((await list_shared_addresses(context)).addresses))
        await asyncio.sleep(_EVERY_SECONDS)
