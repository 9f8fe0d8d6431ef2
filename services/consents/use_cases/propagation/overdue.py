"""How each subscriber stands, which are late with which decisions, and how fast decisions travel."""

import asyncio
import heapq
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, Field

from kielto.group import SubscriberSystem
from kielto.service.database.pool import Conn
from services.consents import metrics
from services.consents.store.propagation import instances, lacking, speed
from services.consents.store.propagation.instances import Instance
from services.consents.use_cases.context import Context, UnknownSubscriberError

_MEASURE_SECONDS = 5.0
After = tuple[datetime, UUID]
"""A receipt and its decision: pages go on behind it."""
FIRST: After = (datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))


class SubscriberStatus(BaseModel):
    id: str
    party: str
    name: str
    deadline_seconds: float
    seen_at: datetime | None = Field(description="When the broker appended its last acknowledgement.")
    stores: int = Field(description="Live stores; the slowest one counts. 0: it was never seen.")
    late_seconds: float = Field(
        description="Age of the oldest record that it lacks; 0: none, -1: never seen."
    )
    exceptions: int = Field(description="Records that a store of it could not read.")
    overdue: int = Field(
        description="Decisions that it has not applied by its deadline, of the oldest 5000 records that it lacks "
        "in each partition."
    )
    claims_beyond_end: int = Field(
        description="Positions that its instances acknowledged beyond the end of their topic. They count up to the "
        "end; an instance that is ended takes its claims with it."
    )
    missing_since: datetime | None = Field(default=None, exclude=True)
    """When the oldest record that it lacks went out."""


class Standing(SubscriberStatus):
    instances: list[Instance]
    partitions: list[lacking.Partition]


class Late(NamedTuple):
    """A decision, and the subscribers that should have applied it by now."""

    decision: UUID
    party: str | None
    received_at: datetime
    at: list[tuple[SubscriberSystem, lacking.OverdueDecision]]


async def standing(context: Context, ident: str, party: str | None) -> Standing:
    """The status of one subscriber in detail. Raises UnknownSubscriberError."""
    subscriber = _of(context, party, ident)[0]
    async with context.pool.acquire() as conn:
        return Standing(
            **(await _status(context, conn, subscriber)).model_dump(),
            instances=await instances.instances(conn, [subscriber]),
            partitions=await lacking.partitions(conn, subscriber),
        )


async def statuses(context: Context, party: str | None) -> list[SubscriberStatus]:
    """The status of each subscriber of the party; None: of all."""
    async with context.pool.acquire() as conn:
        return [await _status(context, conn, s) for s in _of(context, party, None)]


async def _status(context: Context, conn: Conn, subscriber: SubscriberSystem) -> SubscriberStatus:
    now = context.clock()
    state = await lacking.state(conn, subscriber, now)
    late = 0.0 if state.stores else -1.0
    if state.stores and state.missing_since is not None:
        late = max(0.0, (now - state.missing_since).total_seconds())
    named = {name: getattr(subscriber, name) for name in ("id", "party", "name", "deadline_seconds")}
    return SubscriberStatus(**named, **state._asdict(), late_seconds=late)


async def measure_for_ever(context: Context) -> None:
    """Update the metrics of all subscribers; takes at most a twentieth of one connection's time."""
    while True:
        began = time.monotonic()
        for one in await statuses(context, None):
            metrics.SUBSCRIBER_LATE_SECONDS.labels(one.id).set(one.late_seconds)
            metrics.DECISIONS_OVERDUE.labels(one.id).set(one.overdue)
        await asyncio.sleep(max(_MEASURE_SECONDS, 20 * (time.monotonic() - began)))


async def late(
    context: Context, party: str | None, ident: str | None, after: After, limit: int
) -> list[Late]:
    """Overdue decisions, the oldest first, at most `limit`. Raises UnknownSubscriberError."""
    now = context.clock()
    found: list[list[tuple[SubscriberSystem, lacking.OverdueDecision]]] = []
    for subscriber in _of(context, party, ident):
        async with context.pool.acquire() as conn:
            found.append(
                [(subscriber, o) for o in await lacking.overdue(conn, subscriber, now, after, limit)]
            )
    # Each list has the oldest `limit`, so the oldest `limit` of all are in them, with everyone who lacks them.
    merged = heapq.merge(*found, key=_order)
    grouped = ([*group] for _, group in groupby(merged, key=_order))
    return [
        Late(first.decision, first.party, first.received_at, group)
        for group, _ in zip(grouped, range(limit), strict=False)
        for _, first in group[:1]
    ]


def _order(found: tuple[SubscriberSystem, lacking.OverdueDecision]) -> After:
    return found[1].received_at, found[1].decision


class Week(NamedTuple):
    """An ISO week, as `2026-W47`; in UTC."""

    year: int
    week: int

    def __str__(self) -> str:
        return f"{self.year:04}-W{self.week:02}"

    @property
    def begin(self) -> datetime:
        """Raises ValueError when the year has no such week."""
        day = date.fromisocalendar(self.year, self.week, 1)
        return datetime(day.year, day.month, day.day, tzinfo=UTC)

    @classmethod
    def of(cls, moment: datetime) -> "Week":
        return cls(*moment.astimezone(UTC).isocalendar()[:2])


async def travel(
    context: Context, party: str | None, weeks: Sequence[Week]
) -> list[tuple[Week, speed.Propagation]]:
    """Times of each week, and in it of each party and each of its subscribers."""
    asked, rows = _of(context, party, None), []
    for week in weeks:
        async with context.pool.acquire() as conn:
            end = week.begin + timedelta(days=7)
            rows += [(week, row) for row in await speed.propagation(conn, asked, week.begin, end)]
    return rows


def _of(context: Context, party: str | None, ident: str | None) -> list[SubscriberSystem]:
    found = [s for s in context.group.subscribers if party in (None, s.party) and ident in (None, s.id)]
    if not found and ident is not None:
        raise UnknownSubscriberError
    return found
