"""Relays: one leader per lane of a service, by a session lock; after any failure it begins again from the marks.

The lock, the marks and their deletion use one connection, so a process that lost the lock deletes nothing. A leader
that fails gives up its producer, its connection and its term and starts anew: what was sent and not deleted is sent
again, with the same version or a higher one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from kielto import kafka
from kielto.events.topics import Family, Lane
from kielto.service.database import epoch, pool
from kielto.service.database.advisory_locks import Lock, try_for
from kielto.service.outbox.backfills import Snapshots
from kielto.service.outbox.batch_send import LaneStoppedError
from kielto.service.outbox.bulk_lane import BulkLane, Pace
from kielto.service.outbox.express_lane import ExpressLane
from kielto.service.outbox.heartbeats import BeatPlan, Beats
from kielto.service.outbox.leader import Leader, while_connected
from kielto.service.outbox.pending import DecryptRecord, Leadership, as_kept
from kielto.service.outbox.rejecting_topics import Producers, Refusals
from kielto.service.support import metrics
from kielto.service.support.supervise import Backoff, supervise

log = structlog.get_logger(__name__)

_LOCKS = {Lane.EXPRESS: Lock.EXPRESS_LANE, Lane.BULK: Lock.BULK_LANE}
_STANDBY_SECONDS = 0.5
_BACKOFF = Backoff(0.1, 2.0)
MISSING_SECONDS = 30.0
"""A leadership that found topics missing ends after this many seconds, and the next one looks again."""

# What a crash of the server loses from here on is sent again: no need to wait for its disk. And plans by key:
# marks are a queue, so what the statistics say of it is never true for long.
_SESSION = "; ".join(
    f"SET {name} = {value}" for name, value in {"synchronous_commit": "off", **pool.BY_KEY}.items()
)


@dataclass(frozen=True, slots=True)
class RelaySettings:
    service: str
    dsn: str
    bootstrap: str
    families: tuple[Family, ...]
    beats: BeatPlan
    bulk_rate: int = 20_000
    decrypt_record: DecryptRecord = as_kept
    security: kafka.Security = kafka.CLEAR
    ensure_epoch: Callable[[Leader], Awaitable[None]] | None = None
    """Returns when an epoch is open; called by the leader of the express lane. None: the epoch is taken as it is."""


class LaneRelay:
    """One lane's relay. `run()` returns some time after `stop()`; it may also be cancelled."""

    def __init__(self, lane: Lane, settings: RelaySettings) -> None:
        self._lane, self._settings = lane, settings
        self._stopping = asyncio.Event()
        self.leads = self._led = False

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Lead again and again until stopped. After any failure the next leadership continues from the marks."""

        def failed(_: Exception) -> None:
            metrics.RELAY_FAILURES.labels(self._lane.value).inc()

        await supervise(
            f"relay {self._lane.value}",
            self._connect_and_lead,
            (Exception,),
            _BACKOFF,
            stop=self._stopping,
            failed=failed,
            progressed=lambda: self._led,
        )

    async def _connect_and_lead(self) -> None:
        self._led = False
        name = f"{self._settings.service} relay {self._lane.value}"
        conn = await pool.connect(self._settings.dsn, name=name)
        try:
            while not await try_for(conn, _LOCKS[self._lane]):
                await asyncio.sleep(_STANDBY_SECONDS)
                if self._stopping.is_set():
                    return
            await self._lead(conn)
        finally:
            self._leads(False)
            conn.terminate()  # the server lets go of the lock as soon as it sees this

    async def _lead(self, conn: Leader) -> None:
        producer = kafka.producer(self._settings.bootstrap, security=self._settings.security)
        producers = Producers(producer, self._settings.bootstrap, self._settings.security)
        try:
            await producer.start()
            topics = {
                family.name: {family.topic(lane) for lane in Lane} for family in self._settings.families
            }
            ids = await kafka.topic_ids(producer, sorted(set().union(*topics.values())))
            families = tuple(f for f in self._settings.families if topics[f.name] <= ids.keys())
            missing = sorted(set().union(*topics.values()) - ids.keys())
            if missing and not families:
                raise LaneStoppedError(f"topics are missing: {', '.join(missing)}")
            if missing:
                log.error("relay.topics_missing", topics=missing)
            async with asyncio.timeout(MISSING_SECONDS if missing else None):
                await while_connected(conn, self._work(conn, producers, ids, families), self._stopping)
        finally:
            await kafka.abort(producer)
            await producers.abort()

    async def _work(
        self, conn: Leader, producer: Producers, ids: Mapping[str, UUID], present: Sequence[Family]
    ) -> None:
        settings, families = self._settings, {family.name: family for family in present}
        leads = Leadership(conn, producer, families, ids, settings.decrypt_record, Refusals(producer))
        if self._lane is Lane.EXPRESS:
            if settings.ensure_epoch is not None:
                await settings.ensure_epoch(conn)
            term = await epoch.new_term(conn)
            if term is None:
                raise LaneStoppedError("the epoch is not open")
            beats = Beats(settings.beats, present, *term)
            lane: ExpressLane | BulkLane = ExpressLane(leads, beats)
        else:
            await epoch.until_checked(conn)
            snapshots = Snapshots(settings.bootstrap, families, settings.security)
            lane = BulkLane(leads, Pace(settings.bulk_rate), snapshots, settings.beats)
        await conn.execute(_SESSION)
        self._leads(True)
        await lane.run(self._stopping)

    def _leads(self, leads: bool) -> None:
        self.leads, self._led = leads, self._led or leads
        metrics.RELAY_LEADS.labels(self._lane.value).set(leads)
