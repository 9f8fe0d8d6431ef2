"""Where a decision is: which subscribers have applied it and since when; and how each subscriber stands."""

import asyncio
import time
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from kielto.group import SubscriberSystem
from services.consents import metrics
from services.consents.store.propagation import lacking
from services.consents.store.propagation import whereabouts as store
from services.consents.store.propagation.lacking import SubscriberState
from services.consents.use_cases.context import Context, UnknownDecisionError

_MEASURE_SECONDS = 5.0


class Stage(StrEnum):
    UNPUBLISHED = "unpublished"
    """Accepted; the broker has not yet acknowledged every record that shows it."""
    ON_THE_WAY = "on_the_way"
    OVERDUE = "overdue"
    APPLIED = "applied"
    HELD = "held"
    """The decision changed nothing that the subscriber did not hold before."""


class Location(NamedTuple):
    """`applied_at`: by the broker's time; None until every live store of the subscriber has every record."""

    subscriber: SubscriberSystem
    stage: Stage
    records: int
    applied: int
    applied_at: datetime | None
    deadline: datetime


class SubscriberStatus(NamedTuple):
    """`late_seconds`: the age of the oldest record that it lacks; 0 when it lacks none, -1 when it was never seen."""

    subscriber: SubscriberSystem
    state: SubscriberState
    late_seconds: float


async def locate(context: Context, decision: UUID, party: str | None) -> list[Location]:
    """A location for each subscriber of the party (None: all) whose record shows it. Raises UnknownDecisionError."""
    now = context.clock()
    asked = [s for s in context.group.subscribers if party in (None, s.party)]
    async with context.pool.acquire() as conn:
        received = await store.receipts(conn, [decision])
        if not received or party not in (None, received[0].party):
            raise UnknownDecisionError
        found = await store.whereabouts(conn, [decision], asked, links=party is None)
    subscribers = {s.id: s for s in asked}
    return [_location(subscribers[w.subscriber], w, now) for w in found]


def _location(subscriber: SubscriberSystem, found: store.Whereabouts, now: datetime) -> Location:
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


async def statuses(context: Context, party: str | None) -> list[SubscriberStatus]:
    """The status of each subscriber of the party; None: of all."""
    asked = [s for s in context.group.subscribers if party in (None, s.party)]
    async with context.pool.acquire() as conn:
        now = context.clock()
        return [status_of(s, await lacking.state(conn, s, now), now) for s in asked]


def status_of(subscriber: SubscriberSystem, state: SubscriberState, now: datetime) -> SubscriberStatus:
    late = 0.0
    if not state.stores:
        late = -1.0
    elif state.missing_since is not None:
        late = max(0.0, (now - state.missing_since).total_seconds())
    return SubscriberStatus(subscriber, state, late)


async def measure_for_ever(context: Context) -> None:
    """Update the metrics of all subscribers; takes at most a twentieth of one connection's time."""
    while True:
        began = time.monotonic()
        for subscriber, state, late in await statuses(context, None):
            metrics.SUBSCRIBER_LATE_SECONDS.labels(subscriber.id).set(late)
            metrics.DECISIONS_OVERDUE.labels(subscriber.id).set(state.overdue)
        await asyncio.sleep(max(_MEASURE_SECONDS, 20 * (time.monotonic() - began)))
