"""A live feed of decisions: accepted, applied at a subscriber, complete.

One poll of the database serves all streams. A commit's notification names a new decision, which is followed until it is
applied everywhere; a stream whose reader is too slow is ended. Nothing is kept while no stream is open.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from kielto.errors import KieltoError
from kielto.service.database.pool import Conn
from services.consents.store.propagation import whereabouts as store
from services.consents.use_cases.context import Context

OPEN = 2000
"""Decisions that are followed at a time; of more, the oldest are let go: what is overdue names them."""
KEPT = 1000
LOOK_SECONDS = 0.25


class FeedState(StrEnum):
    ACCEPTED = "accepted"
    APPLIED = "applied"
    TAKEN_BACK = "taken_back"
    """A store of the subscriber was emptied, or another one appeared that has not applied it."""
    COMPLETE = "complete"
    GAP = "gap"
    """Something may be missing before this."""


class FeedEvent(NamedTuple):
    """`party`: who brought the decision. `sees`: a party that alone sees this, all parties, or no party (None)."""

    number: int
    decision: UUID
    party: str | None
    state: FeedState
    at: datetime | None
    subscriber: str | None = None
    sees: str | None = None


class TooManyStreamsError(KieltoError):
    """Too many open streams; `own`: of the party that asks for another."""

    def __init__(self, *, own: bool) -> None:
        super().__init__()
        self.own = own


class Watcher:
    """One open stream. `party` None sees everything; a company its own subscribers, of decisions that it brought."""

    def __init__(self, party: str | None) -> None:
        self.party = party
        self._queue: asyncio.Queue[FeedEvent | None] = asyncio.Queue(KEPT + 1)
        self._ended = False
        self._begun = asyncio.Event()

    async def begun(self, seconds: float) -> None:
        """Wait until the feed runs, so that nothing is missed, or has ended. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            await self._begun.wait()

    def begin(self) -> None:
        self._begun.set()

    async def next(self, seconds: float) -> FeedEvent | None:
        """The next event; None when the stream has ended. Raises TimeoutError."""
        if self._ended and self._queue.empty():
            return None
        async with asyncio.timeout(seconds):
            return await self._queue.get()

    def tell(self, told: FeedEvent) -> None:
        if self._ended or not self._may_see(told):
            return
        if self._queue.qsize() >= KEPT:
            self.end()
        else:
            self._queue.put_nowait(told)

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._begun.set()
            self._queue.put_nowait(None)

    def _may_see(self, told: FeedEvent) -> bool:
        if told.state is FeedState.GAP:
            return True
        if self.party is None:
            return told.state is not FeedState.COMPLETE or told.sees is None
        return told.party == self.party and told.sees in (_ALL, self.party)


_ALL = "*"


class _Open:
    def __init__(self, party: str | None) -> None:
        self.party = party
        self.applied: set[str] = set()
        self.complete_for_party = False


class Live:
    def __init__(self, context: Context) -> None:
        self._pool, self._limits = context.pool, context.limits
        self._subscribers = context.group.subscribers
        self._party_of = {s.id: s.party for s in self._subscribers}
        self._watchers: set[Watcher] = set()
        self._watched = asyncio.Event()
        self._listening = False
        self._context, self._keys = context, context.keys
        self._life = secrets.token_bytes(8)
        self._told: deque[FeedEvent] = deque(maxlen=KEPT)
        self._count = 0
        self._news: deque[UUID] = deque(maxlen=OPEN)
        self._lost = False
        """Decisions that nobody was told of: more at once than are followed."""
        self._open: dict[UUID, _Open] = {}

    # -- watching

    @contextmanager
    def watch(self, party: str | None, last_seen: str | None) -> Iterator[Watcher]:
        """Open a stream. `last_seen`: the id of the reader's last event; later ones are sent again, or a gap.

        Raises TooManyStreamsError.
        """
        if len(self._watchers) >= self._limits.streams:
            raise TooManyStreamsError(own=False)
        if sum(other.party == party for other in self._watchers) >= self._limits.streams_per_party:
            raise TooManyStreamsError(own=True)
        watcher = Watcher(party)
        for told in self._since(party, last_seen):
            watcher.tell(told)
        self._watchers.add(watcher)
        self._watched.set()
        if self._listening:
            watcher.begin()
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)

    def ident(self, told: FeedEvent, party: str | None) -> str:
        """The event's id, opaque to a party: a number would count the events that it does not see."""
        return self._context.named(party, UUID(bytes=self._life + told.number.to_bytes(8)))

    def _number(self, party: str | None, ident: str) -> int | None:
        """The number of an event id; None when the id is of an earlier life of the feed or another party's."""
        try:
            found = self._keys.from_pairwise(party, ident) if party else UUID(ident)
        except ValueError:
            return None
        if found is None or found.bytes[:8] != self._life:
            return None
        return int.from_bytes(found.bytes[8:])

    def _since(self, party: str | None, last_seen: str | None) -> Sequence[FeedEvent]:
        if last_seen is None:
            return ()
        number = self._number(party, last_seen)
        if number is not None:
            later = [told for told in self._told if told.number > number]
            if len(later) == self._count - number:
                return later
        return [FeedEvent(self._count, _NOBODY, None, FeedState.GAP, None)]

    # -- looking

    async def run(self) -> None:
        """Run the feed until cancelled, then end all streams."""
        try:
            while True:
                await self._watched.wait()
                self._watched.clear()
                await self._follow()
        finally:
            for watcher in self._watchers:
                watcher.end()

    async def _follow(self) -> None:
        """Follow decisions as long as a stream is open."""
        async with self._pool.acquire() as conn:
            await conn.add_listener("proof", self._notified)
            self._listening = True
            for watcher in self._watchers:
                watcher.begin()
            try:
                while self._watchers:
                    began = time.monotonic()
                    await self._look(conn)
                    await asyncio.sleep(max(LOOK_SECONDS, 4 * (time.monotonic() - began)))
            finally:
                self._listening = False
                self._forget()
                if not conn.is_closed():
                    await conn.remove_listener("proof", self._notified)

    def _notified(self, *told: Any) -> None:
        self._lost |= len(self._news) == OPEN
        self._news.append(UUID(told[-1]))

    def _forget(self) -> None:
        """Forget all decisions that are followed: until the next poll nobody sees what happens to them."""
        self._news.clear()
        self._lost = False
        self._open.clear()
        self._told.clear()
        self._count += 1

    async def _look(self, conn: Conn) -> None:
        news = [self._news.popleft() for _ in range(len(self._news))]
        if news:
            for row in await store.receipts(conn, news):
                self._open[row.decision] = _Open(row.party)
                self._tell(row.decision, row.party, FeedState.ACCEPTED, row.received_at, sees=_ALL)
            for decision in list(self._open)[:-OPEN]:
                self._lost = True
                del self._open[decision]
            if self._lost:
                self._lost = False
                self._tell(_NOBODY, None, FeedState.GAP, None)
        if self._open:
            found: dict[UUID, list[store.Whereabouts]] = {}
            # A company is not told of links, so those are looked at in our own alone.
            for links in (False, True):
                asked = [ident for ident, known in self._open.items() if links == (known.party is None)]
                for where in await store.whereabouts(conn, asked, self._subscribers, links=links):
                    found.setdefault(where.decision, []).append(where)
            for decision, everywhere in found.items():
                self._compare(decision, everywhere)

    def _compare(self, decision: UUID, everywhere: list[store.Whereabouts]) -> None:
        known = self._open[decision]
        applied = {w.subscriber: w.applied_at for w in everywhere if w.applied == w.records}
        taken_back, news = known.applied - applied.keys(), applied.keys() - known.applied
        for state, subscribers in ((FeedState.TAKEN_BACK, taken_back), (FeedState.APPLIED, news)):
            for subscriber in sorted(subscribers):
                sees = self._sees(known, subscriber)
                self._tell(decision, known.party, state, applied.get(subscriber), subscriber, sees)
        known.applied = set(applied)
        own = [w for w in everywhere if self._party_of[w.subscriber] == known.party]
        if own and not known.complete_for_party and all(w.subscriber in applied for w in own):
            known.complete_for_party = True
            at = max(filter(None, (w.applied_at for w in own)), default=None)
            self._tell(decision, known.party, FeedState.COMPLETE, at, sees=known.party)
        if len(applied) == len(everywhere):
            at = max(filter(None, applied.values()), default=None)
            self._tell(decision, known.party, FeedState.COMPLETE, at)
            del self._open[decision]

    def _sees(self, known: _Open, subscriber: str) -> str | None:
        """A party is told nothing more of what is complete for it: how long that is followed depends on others."""
        party = self._party_of[subscriber]
        return None if known.complete_for_party and party == known.party else party

    def _tell(
        self,
        decision: UUID,
        party: str | None,
        state: FeedState,
        at: datetime | None,
        subscriber: str | None = None,
        sees: str | None = None,
    ) -> None:
        self._count += 1
        told = FeedEvent(self._count, decision, party, state, at, subscriber, sees)
        self._told.append(told)
        for watcher in self._watchers:
            watcher.tell(told)


_NOBODY = UUID(int=0)
