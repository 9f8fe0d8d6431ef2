"""Instances of subscribers, for an operator: list, forget or ask them now, and see what reconciliation found."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn, in_transaction, server_time
from services.consents.store.propagation import acks, differences, reconciliation
from services.consents.store.propagation.differences import OpenDifference
from services.consents.store.propagation.instances import Instance, instances, life_seconds
from services.consents.use_cases.context import Context
from services.consents.use_cases.propagation.reconcile import ask

WAIT_SECONDS, WAIT_SECONDS_EACH, WAIT_SECONDS_AT_MOST = 20.0, 10.0, 300.0
"""How long to wait for answers, how much longer for each instance, and the limit of both."""
_SETTLE_SECONDS = 5.0
_LOOK_SECONDS = 0.2
_LISTED = 1000

Instances = dict[tuple[str, UUID], bool]
"""By subscriber and instance: whether it is alive."""


async def list_instances(context: Context) -> list[Instance]:
    """The instances of every subscriber, the latest first."""
    return await instances(context.pool, context.group.subscribers)


async def end_instance(context: Context, subscriber: str, instance: UUID) -> bool:
    """Forget the instance; return False when there is none. An instance that acknowledges again is back."""
    return await in_transaction(context.pool, lambda conn: acks.end(conn, subscriber, instance))


class ReconciliationStatus(BaseModel):
    stores: list[reconciliation.LastAnswer]
    differences: list[OpenDifference] = Field(description="Open differences, the oldest first; at most 1000.")


async def reconciliation_status(
    context: Context, party: str | None, subscriber: str | None = None
) -> ReconciliationStatus:
    """The status of the subscribers of one party, or of one subscriber; None: of all."""
    asked = [
        s.id for s in context.group.subscribers if party in (None, s.party) and subscriber in (None, s.id)
    ]
    return ReconciliationStatus(
        stores=await reconciliation.last(context.pool, asked),
        differences=await differences.listed(context.pool, asked, _LISTED),
    )


async def known_instances(context: Context, asked: Sequence[SubscriberSystem]) -> Instances:
    """Every instance of these subscribers. One is alive while its last acknowledgement is younger than its life."""
    life = {s.id: timedelta(seconds=life_seconds(s)) for s in asked}
    async with context.pool.acquire() as conn:
        now = await server_time(conn)
        return {
            (one.subscriber, one.instance): one.live and now - one.seen_at <= life[one.subscriber]
            for one in await instances(conn, asked)
        }


async def ask_now(context: Context, asked: Sequence[SubscriberSystem]) -> list[UUID]:
    """Queue a question to each of these subscribers; the questions' ids."""

    async def work(conn: Conn) -> list[UUID]:
        return [await ask(conn, subscriber) for subscriber in asked]

    return await in_transaction(context.pool, work)


async def ask_and_wait(context: Context, asked: Sequence[SubscriberSystem], known: Instances) -> list[str]:
    """Ask until every live instance has answered, was compared in full and has no difference left, or time is up.

    Returns a line for each instance or subscriber that is not done: `SILENT` or `NOT COMPARED WHOLLY`.
    """
    there = [one for one, alive in known.items() if alive]
    asked = [s for s in asked if s.id in {subscriber for subscriber, _ in there}]
    until = time.monotonic() + min(WAIT_SECONDS + WAIT_SECONDS_EACH * len(there), WAIT_SECONDS_AT_MOST)
    while there:
        asks = await ask_now(context, asked)
        while (silent := await reconciliation.unanswered(context.pool, asks, there)) and (  # noqa: ASYNC110
            time.monotonic() < until
        ):
            await asyncio.sleep(_LOOK_SECONDS)
        if silent:
            return [f"SILENT {subscriber} {instance}" for subscriber, instance in silent]
        partly = sorted(
            {
                one.subscriber
                for one in await reconciliation.last(context.pool, [s.id for s in asked])
                if (one.subscriber, one.instance) in there and (one.differing, one.left_out) != (0, 0)
            }
        )
        if not partly and not await differences.standing_at(context.pool, there):
            return []
        if time.monotonic() > until:
            return [f"NOT COMPARED WHOLLY {name}" for name in partly]
        await asyncio.sleep(_SETTLE_SECONDS)  # differing buckets are asked for, and repaired
    return []
