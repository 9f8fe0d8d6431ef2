"""Where a decision is: which subscriber has applied it, since when, and who is late against the group's deadlines."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Pool
from services.consents import metrics
from services.consents.store.decisions import decisions
from services.consents.store.propagation import proof
from services.consents.store.propagation.proof import SubscriberState
from services.consents.use_cases.context import Context
from services.consents.use_cases.errors import UnknownDecisionError

_WATCH_SECONDS = 5.0


class Stage(StrEnum):
    UNPUBLISHED = "unpublished"
    """Accepted; the broker has not yet acknowledged every record that shows it."""
    ON_THE_WAY = "on_the_way"
    OVERDUE = "overdue"
    APPLIED = "applied"
    HELD = "held"
    """It changed nothing that the subscriber did not hold before."""


class Location(NamedTuple):
    """`applied_at`: by the broker's time; only when every live store of the subscriber has every record."""

    subscriber: SubscriberSystem
    stage: Stage
    records: int
    applied: int
    applied_at: datetime | None
    deadline: datetime


async def locate(pool: Pool, context: Context, decision: UUID, party: str | None) -> list[Location]:
    """By subscriber; those to whose party it means nothing are left out. Raises UnknownDecisionError."""
    now = datetime.now(UTC)
    asked = [s for s in context.group.subscribers if party in (None, s.party)]
    async with pool.acquire() as conn:
        row = await decisions.get(conn, decision, party)
        if row is None or party not in (None, row["party"]):
            raise UnknownDecisionError
        found = await proof.whereabouts(conn, [decision], asked, links=party is None)
    subscribers = {s.id: s for s in asked}
    return [_location(subscribers[w.subscriber], w, now) for w in found]


def _location(subscriber: SubscriberSystem, found: proof.Whereabouts, now: datetime) -> Location:
    deadline = found.since + timedelta(seconds=subscriber.deadline_seconds)
    applied_at = found.applied_at if found.applied == found.records else None
    if applied_at is not None:
        # Both: a broker's clock may be behind ours, and a new store takes by its backfill what others held.
        stage = Stage.HELD if found.held and applied_at < found.since else Stage.APPLIED
    elif now > deadline:
        stage = Stage.OVERDUE
    else:
        stage = Stage.ON_THE_WAY if found.published == found.records else Stage.UNPUBLISHED
    return Location(subscriber, stage, found.records, found.applied, applied_at, deadline)


async def subscribers(
    pool: Pool, context: Context, party: str | None
) -> list[tuple[SubscriberSystem, SubscriberState]]:
    """How each subscriber stands now."""
    asked = [s for s in context.group.subscribers if party in (None, s.party)]
    async with pool.acquire() as conn:
        return [(s, await proof.state(conn, s, datetime.now(UTC))) for s in asked]


async def watch(pool: Pool, context: Context) -> None:
    """Keeps the metrics of all subscribers, for ever; takes no more than a twentieth of one connection's time."""
    while True:
        began = time.monotonic()
        for subscriber, state in await subscribers(pool, context, None):
            metrics.subscriber_late_seconds.labels(subscriber.id).set(late_seconds(state))
            metrics.decisions_overdue.labels(subscriber.id).set(state.overdue)
        await asyncio.sleep(max(_WATCH_SECONDS, 20 * (time.monotonic() - began)))


def late_seconds(state: SubscriberState) -> float:
    """0: it lacks nothing. -1: it was never seen."""
    if not state.stores:
        return -1.0
    if state.missing_since is None:
        return 0.0
    return max(0.0, (datetime.now(UTC) - state.missing_since).total_seconds())
