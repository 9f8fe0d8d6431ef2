"""The work that runs behind a `Subscriber`: one session with Kafka after the other, and tasks beside it."""

import asyncio
import logging
import sqlite3
import traceback
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from kielto.events.topics import acks, permissions_of
from kielto.subscriber.gate.gate import FollowedParty, Gate
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.replica.state import Delta
from kielto.subscriber.stores.base import Store, StoreError, StoreLostError
from kielto.subscriber.submit.spool import Spool
from kielto.subscriber.support.brokers import Brokers, ThrottledLog
from kielto.subscriber.sync.acks import Acknowledger, AckSender
from kielto.subscriber.sync.changes import OnChange
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Session
from kielto.subscriber.sync.store_digests import Digests

log = logging.getLogger(__name__)
RETRY_SECONDS = 1.0


class BackgroundTasks:
    """Tasks that run until `cancel`. One that fails is logged, without its message, which may hold data."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a background task of the subscriber failed: %s", _place(error))

    async def cancel(self) -> None:
        """Returns when all of them have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Follows(NamedTuple):
    """Who follows which party's topics, where, and what it keeps of them."""

    subscriber: str
    party: FollowedParty
    brokers: Brokers
    store: Store
    stale_seconds: float
    on_change: OnChange | None
    now: Callable[[], datetime]


class SessionLoop:
    """Loads the store, feeds it from Kafka, and loads it again when it is lost. `gate` answers while that runs."""

    def __init__(self, follows: Follows, denials: Denials, tasks: BackgroundTasks) -> None:
        self._follows, self._denials, self._tasks = follows, denials, tasks
        self._warnings = ThrottledLog(log)
        self.session: Session | None = None
        self.gate: Gate | None = None
        self.store_error: StoreError | None = None
        """Why the store cannot be used as it is set up: then the loop has ended."""

    async def run(self, instance: UUID, spool: Spool | None) -> None:
        while self.store_error is None:
            try:
                await self._one_session(instance, spool)
            except* StoreLostError as group:
                log.warning("loading the store again: %s", _flat(group)[0])
            except* StoreError as group:
                self.store_error = StoreError(*_flat(group)[0].args)
                log.error("the store cannot be used: %s", self.store_error)  # noqa: TRY400 - told in full
            except* Exception as group:  # noqa: BLE001 - nothing may end the following; the gate is shut meanwhile
                places = ", ".join(_place(error) for error in _flat(group))
                log.error("following failed; starting again: %s", places)  # noqa: TRY400 - texts may hold data
            if self.store_error is None:
                await asyncio.sleep(RETRY_SECONDS)

    async def _one_session(self, instance: UUID, spool: Spool | None) -> None:
        follows, party, brokers = self._follows, self._follows.party.name, self._follows.brokers
        session = await Session.load(follows.store, party, follows.stale_seconds, spool, follows.on_change)
        following = Following(brokers, permissions_of(party), session)
        sender = AckSender(party, follows.subscriber, instance, acks(party), following.topics)
        gate = Gate(follows.party, session.follower, self._denials)
        marks = spool if follows.store.durable else None
        acknowledger = Acknowledger(brokers, sender, session, following, gate, marks, follows.now)
        digests = Digests(brokers, sender, follows.store, session, following)

        def committed(delta: Delta) -> None:
            acknowledger.committed(delta.news)
            for partition, _, beat in delta.beats:
                if ended := self._denials.beat(partition, beat.taken):
                    self._tasks.start(self._end_denials(ended, spool))
            digests.asked(delta.asked)

        session.on_commit = committed
        if session.changes is not None:
            session.changes.on_confirm = lambda: acknowledger.committed(news=True)
        self.session, self.gate = session, gate
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(following.run())
                tasks.create_task(acknowledger.run())
                tasks.create_task(digests.run())
                if session.changes is not None:
                    tasks.create_task(session.changes.run())
        finally:
            self.gate = None

    async def _end_denials(self, ended: list[UUID], spool: Spool | None) -> None:
        """Forget them in the spool first: if the disk fails, they deny until a later beat."""
        if spool is not None:
            try:
                await asyncio.to_thread(spool.forget, ended)
            except sqlite3.Error as error:
                self._warnings.warn(
                    "the spool cannot be written, so local denials last longer: %s", type(error).__name__
                )
                return
        for decision in ended:
            self._denials.drop(decision)


def _flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_flat(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


def _place(error: BaseException) -> str:
    """The type of an error, and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return "".join([type(error).__name__, *(f" at {frame.filename}:{frame.lineno}" for frame in last)])
