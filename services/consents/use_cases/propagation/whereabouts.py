"""Where a decision is: which subscribers have applied it, and since when."""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.group import SubscriberSystem
from services.consents.store.propagation import whereabouts as store
from services.consents.use_cases.context import Context, UnknownDecisionError


class Stage(StrEnum):
    UNPUBLISHED = "unpublished"
    """Accepted; the broker has not yet acknowledged every record that shows it."""
    ON_THE_WAY = "on_the_way"
    OVERDUE = "overdue"
    APPLIED = "applied"
    HELD = "held"
    """The decision changed nothing that the subscriber did not hold before."""


class Location(BaseModel):
    """`applied_at`: by the broker's time; None until every live store of the subscriber has every record."""

    subscriber: str
    party: str
    name: str = Field(exclude=True)
    stage: Stage
    records: int
    applied: int
    applied_at: datetime | None
    deadline: datetime


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
    return Location(
        subscriber=subscriber.id,
        party=subscriber.party,
        name=subscriber.name,
        stage=stage,
        records=found.records,
        applied=found.applied,
        applied_at=applied_at,
        deadline=deadline,
    )
