"""A follower with its loaded store: batches are applied under one lock and committed before they count."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import UUID

from kielto.events.topics import Lane
from kielto.subscriber.columnar.batch_decode import Tables
from kielto.subscriber.columnar.record_batch import RecordBlock
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Batch, Follower
from kielto.subscriber.replica.state import Delta, Flaw, FollowerState
from kielto.subscriber.stores import rows
from kielto.subscriber.stores.base import Store, StoreMark
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.sync.changes import Changes, OnChange

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Committed:
    """What the store holds and may be acknowledged."""

    mark: StoreMark
    topics: dict[Lane, UUID] = field(default_factory=dict)
    positions: dict[tuple[Lane, int], int] = field(default_factory=dict)
    flaws: tuple[tuple[str | None, Flaw], ...] = ()
    """Exceptions with their keys, and records with unreadable keys."""
    held_back: dict[tuple[Lane, int], int] = field(default_factory=dict)
    """By partition, where the acknowledged position must stop."""

    @classmethod
    def of(cls, mark: StoreMark, state: FollowerState) -> "Committed":
        flaws = [*state.exceptions.items(), *((None, flaw) for flaw in state.shut.values())]
        return cls(mark, dict(state.topics), dict(state.positions), tuple(flaws), dict(state.held_back))


class Session:
    """`on_commit` is called after each commit with its changes."""

    def __init__(
        self, store: Store, follower: Follower, decoder: Decoder, mark: StoreMark, changes: Changes | None
    ) -> None:
        self.follower, self.tables = follower, Tables(decoder)
        self.committed = Committed.of(mark, follower.state)
        self.news = 0
        """Number of commits of anything but beats; it shows that reading makes progress."""
        self.on_commit: Callable[[Delta], None] = lambda _: None
        self._store, self.changes = store, changes
        self._lock = asyncio.Lock()

    @classmethod
    async def load(
        cls,
        store: Store,
        party: str,
        stale_seconds: float,
        spool: Spool | None,
        on_change: OnChange | None = None,
    ) -> "Session":
        """Open the store and load its rows. Raises StoreError, StoreLostError, and errors of the store's client."""
        mark, state = await store.open(party)
        if store.durable and not await _vouched(spool, mark):
            mark = await store.renew()
        if on_change is None:
            state.confirmed = None
        follower = Follower(stale_seconds, durable=store.durable or on_change is not None, state=state)
        changes = None if on_change is None else Changes(on_change, follower)
        decoder = Decoder(follower.image.shapes)
        async for portion in store.rows():
            rows.load(follower.image, decoder, portion)
            if changes is not None:
                changes.loaded(portion)
            await asyncio.sleep(0)
        return cls(store, follower, decoder, mark, changes)

    def acknowledgeable(self) -> Committed:
        """What the store holds, up to where `on_change` has confirmed changes."""
        if self.changes is None:
            return self.committed
        confirmed = (self.follower.state.confirmed or {}) if self.changes.caught_up else {}
        held = self.committed.positions
        return replace(
            self.committed,
            positions={place: min(at, confirmed[place]) for place, at in held.items() if place in confirmed},
        )

    async def apply(self, lane: Lane, topic: UUID, batch: Batch, block: RecordBlock | None = None) -> bool:
        """Apply and commit records of the topic with this id. False: the topic was recreated since."""
        if self.changes is not None:
            await self.changes.room()
        async with self._lock:
            if self.follower.state.topics.get(lane) != topic:
                return False
            if block is not None:
                self.follower.read_block(lane, block)
            self.follower.read(lane, batch)
            await self._commit()
            return True

    async def verify_topics(self, ids: dict[Lane, UUID]) -> None:
        """Compare the topic ids that the broker gave after the records were fetched that are applied next."""
        if ids.items() <= self.follower.state.topics.items():
            return
        async with self._lock:
            old = dict(self.follower.state.topics)
            if self.follower.verify_topics(ids):
                for lane, ident in self.follower.state.topics.items():
                    if old.get(lane) not in (None, ident):
                        log.warning("the %s topic was recreated; reading it from its beginning", lane)
                await self._commit()

    async def _commit(self) -> None:
        delta = self.follower.take()
        mark = await self._store.commit(self.follower, delta)
        self.follower.settle(delta)
        self.committed = Committed.of(mark, self.follower.state)
        self.news += delta.news
        if self.changes is not None:
            self.changes.committed(delta)
        self.on_commit(delta)


async def _vouched(spool: Spool | None, mark: StoreMark) -> bool:
    """Whether the contents are those that were acknowledged last, or later ones; otherwise they were restored.

    If positions went back under one generation, consents would keep a proof that is no longer true. Without a spool
    this cannot be known, so each start gets a new generation.
    """
    known = None if spool is None else await asyncio.to_thread(spool.acknowledged)
    return known is not None and known.generation == mark.generation and known.commits <= mark.commits
