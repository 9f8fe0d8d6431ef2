"""A running service: what starts when, and the graceful stop.

The API answers at once; writes are refused until an epoch was claimed once. Consumers and relays start when Kafka is
there and its topics are as the group file says; a difference ends the process.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog
from fastapi import APIRouter, FastAPI

from kielto import kafka
from kielto.events.topics import Lane
from kielto.service.audit_trail import api
from kielto.service.auditor.auditor import Auditor
from kielto.service.database import epoch
from kielto.service.database import pool as postgres
from kielto.service.http import idempotency
from kielto.service.http.openapi import Operation, Operations
from kielto.service.http.server import GRACE_SECONDS, HttpServer
from kielto.service.inbox import quarantine, quarantine_api
from kielto.service.inbox.consumers import Consumers
from kielto.service.outbox import backfills
from kielto.service.outbox.batch_send import LaneStoppedError
from kielto.service.outbox.heartbeats import BeatPlan
from kielto.service.outbox.relay import LaneRelay, RelaySettings
from kielto.service.process.application import Health, create_app, metrics_app
from kielto.service.process.platform import Platform, Service, quarantine_of
from kielto.service.recovery.claim import claim
from kielto.service.recovery.new_epoch import Epochs
from kielto.service.support import metrics
from kielto.service.support.settings import Role
from kielto.service.support.supervise import Backoff, Result, supervise

log = structlog.get_logger(__name__)

_AWAY = (*kafka.DOWN, *postgres.AWAY, kafka.KafkaError, LaneStoppedError)
_RETRY_SECONDS = 0.5
_MISSING_SECONDS = 2.0
_MISMATCHES = 5  # a broker that is just starting may not know its topics yet


class RunningService:
    def __init__(
        self,
        name: str,
        platform: Platform,
        service: Service,
        stop: asyncio.Event,
        front: HttpServer,
        watched: HttpServer,
    ) -> None:
        """`front` serves the API, `watched` the metrics."""
        self._name, self._platform, self._service, self._stop = name, platform, service, stop
        self._health = Health()
        self._roles = platform.settings.roles
        self._topics = {topic.name: topic for topic in platform.group.topics()}
        settings = platform.settings
        self._consumers = Consumers(
            name,
            settings.kafka_bootstrap,
            platform.by_key,
            self._topics,
            service.subscriptions,
            platform.keys.message_cipher,
            security=settings.security,
            throttle=platform.throttle,
        )
        plan = BeatPlan(
            platform.group.beat_seconds,
            service.taken,
            service.beat_gate,
            service.about,
            service.beats_withheld,
            platform.clock,
        )
        epochs = Epochs(
            settings.kafka_bootstrap,
            platform.pool,
            service.families,
            [s.topic for s in service.subscriptions],
            service.take_in,
            settings.security,
            platform.clock,
        )
        relaying = RelaySettings(
            name,
            settings.postgres_dsn,
            settings.kafka_bootstrap,
            service.families,
            plan,
            settings.bulk_rate,
            platform.keys.decrypt_record,
            settings.security,
            epochs.ensure,
        )
        self._relays = [LaneRelay(lane, relaying) for lane in Lane]
        self._auditor = Auditor(relaying)
        self._front, self._watched = front, watched

    async def run(self) -> int:
        """Run until told to stop, and return 0. Raises what must end the process, as TopicMismatchError."""
        stopped = asyncio.create_task(self._stop.wait())
        self._front.give(self._app())  # whatever the roles: an operator asks each process how it is
        self._watched.give(metrics_app(self._platform.pool))
        _freeze()
        graceful = [self._front.serving, asyncio.create_task(self._with_kafka())]
        others = [
            asyncio.create_task(self._for_ever(work))
            for work in (
                *self._service.background,
                *(self._service.at_relays if Role.RELAY in self._roles else ()),
                self._watch_inputs,
                self._hear,
                self._housekeeping,
            )
        ]
        done, _ = await asyncio.wait({stopped, *graceful}, return_when=asyncio.FIRST_COMPLETED)
        await self._end(graceful, others)
        for task in done:
            await task  # raises what ended it
        return 0 if stopped in done else 1

    async def _with_kafka(self) -> None:
        """What needs Kafka: topics as they must be, an epoch at the very first start, then everything
        else.
        """
        pool, settings = self._platform.pool, self._platform.settings
        self._health.claimed = await _patiently(lambda: epoch.latest(pool)) is not None
        await self._verify()
        await _patiently(self._tell_open_topics)
        if not self._health.claimed:
            dsn, bootstrap, families = settings.postgres_dsn, settings.kafka_bootstrap, self._service.families
            security, clock = settings.security, self._platform.clock
            await _patiently(lambda: claim(dsn, bootstrap, families, security=security, clock=clock))
            self._health.claimed = True
        await _patiently(lambda: backfills.request_first(pool, self._service.families))
        work: list[Callable[[], Awaitable[None]]] = []
        if Role.CONSUMERS in self._roles:
            work.append(self._consumers.run)
        if Role.RELAY in self._roles:
            work += [relay.run for relay in self._relays]
            if settings.auditor:
                work.append(lambda: self._auditor.run(self._stop))
        await asyncio.gather(*(self._for_ever(part) for part in work), self._stop.wait())

    async def _verify(self) -> None:
        """Raises TopicMismatchError; waits while Kafka is away or topics are missing."""
        used = {s.topic for s in self._service.subscriptions}
        topics = [t for t in self._topics.values() if t.writer == self._name or t.name in used]
        settings = self._platform.settings
        bootstrap, security = settings.kafka_bootstrap, settings.security
        mismatches = 0
        while True:
            try:
                await _patiently(lambda: kafka.verify_topics(bootstrap, topics, security=security))
            except kafka.TopicsMissingError as missing:
                log.warning("topics.missing", rule=str(missing))
                await asyncio.sleep(_MISSING_SECONDS)
            except kafka.TopicMismatchError:
                mismatches += 1
                if mismatches == _MISMATCHES:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _tell_open_topics(self) -> None:
        """Warn if this service may write topics of others: then others may write theirs, and a company's *no* can be
        forged.
        """
        settings = self._platform.settings
        async with kafka.started(
            kafka.consumer(settings.kafka_bootstrap, security=settings.security)
        ) as client:
            others = [
                s.topic for s in self._service.subscriptions if self._topics[s.topic].writer != self._name
            ]
            found = sorted(await kafka.writable(client, others))
        metrics.OPEN_TOPICS.set(len(found))
        if found:
            log.warning(
                "topics.open",
                topics=found,
                rule="this service may write topics of others: set up the brokers' access control"
                " (python -m kielto.contract acls)",
            )

    async def _watch_inputs(self) -> None:
        read = [self._topics[s.topic] for s in self._service.subscriptions]
        await self._platform.inputs.run([topic for topic in read if topic.vouches])

    async def _hear(self) -> None:
        settings = self._platform.settings
        await self._platform.throttle.listen(settings.kafka_bootstrap, security=settings.security)

    async def _housekeeping(self) -> None:
        while True:
            await idempotency.forget_old(self._platform.pool)
            await quarantine.forget(self._platform.pool, self._platform.settings.quarantine_days)
            await api.forget_old(self._platform.pool, self._platform.settings.audit_days)
            await asyncio.sleep(3600)

    async def _for_ever(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run the work until `stop`, and again whatever it raises: the rest of the service goes on."""

        async def run() -> None:
            await work()
            await self._stop.wait()

        await supervise(_name(work), run, (Exception,), Backoff(most=30.0), stop=self._stop)

    async def _end(self, graceful: list["asyncio.Task[None]"], others: list["asyncio.Task[None]"]) -> None:
        """Start no new request or message; finish what is running, within the grace period."""
        self._health.stopping = True
        self._stop.set()
        for task in others:
            task.cancel()
        self._front.stop()
        self._watched.stop()
        self._consumers.stop()
        for relay in self._relays:
            relay.stop()
        await asyncio.wait(graceful, timeout=GRACE_SECONDS)
        for task in graceful:
            task.cancel()
        await asyncio.wait([*graceful, *others], timeout=GRACE_SECONDS)

    def _app(self) -> FastAPI:
        platform, service = self._platform, self._service
        return create_app(
            self._name,
            routers_of(self._name, platform, service) if Role.API in self._roles else (),
            pool=platform.pool,
            verifier=platform.verifier,
            health=self._health,
            operations=operations_of(self._name, service),
            streamed=service.streamed,
            body_bytes=service.body_bytes,
            limits=platform.limits,
            ready=platform.ready,
            keys=platform.keys,
        )


def routers_of(name: str, platform: Platform, service: Service) -> Sequence[APIRouter]:
    """The routers of every service first, as `/customers/{ident}` would match their paths; then the service's own."""
    return [quarantine_api.router(name, quarantine_of(platform, service)), *service.routers]


def operations_of(name: str, service: Service) -> Operations:
    audit = {f"GET /{name}/audit": Operation("listAudit")}
    return {**service.operations, **quarantine_api.operations(name), **audit}


def _freeze() -> None:
    """What stands when a process begins stays: modules, models, routes, some hundred thousand objects. Python looks
    through all of them at each full garbage collection, and nobody is served for those 0.1 to 0.2 s.
    """
    gc.collect()
    gc.freeze()


async def _patiently(ask: Callable[[], Awaitable[Result]]) -> Result:
    """What `ask` returns once the database and Kafka answer."""
    return await supervise("start", ask, _AWAY)


def _name(work: Callable[[], Awaitable[None]]) -> str:
    """The name of a background job, for the log."""
    function = work.func if isinstance(work, partial) else work
    return str(getattr(function, "__qualname__", ""))
