"""The auditor: one process per service, by a session lock, reads the service's own topics back all the time.

It runs in any process with the relay's role. It repairs what an old leader wrote after it lost its lead. It also hides
faults of the lanes, so tests of those look at the topics with the auditor off (KIELTO_AUDITOR).
"""

import asyncio

import structlog

from kielto import kafka
from kielto.service.auditor.log_pass import BY_INDEX, LogPass, TopicChangedError
from kielto.service.auditor.store import Conn
from kielto.service.database import epoch, pool
from kielto.service.database.advisory_locks import Lock, try_for
from kielto.service.outbox.batch_send import LaneStoppedError
from kielto.service.outbox.relay import RelaySettings
from kielto.service.support import metrics
from kielto.service.support.supervise import Backoff, first_to_end, supervise

log = structlog.get_logger(__name__)

_STANDBY_SECONDS, _CLOSE_SECONDS = 1.0, 1.0

_RETRIED = (*kafka.DOWN, *pool.AWAY, kafka.KafkaError, LaneStoppedError, TopicChangedError)


class Auditor:
    """`run()` ends soon after `stop`; it may also be cancelled, at any moment. Meets a broker or a database
    that is away by trying again, for ever.
    """

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings

    async def run(self, stop: asyncio.Event) -> None:
        """Audit until `stop`. Any step may be interrupted: the tables say where to continue."""
        await first_to_end(self._work(), stop.wait())

    async def _work(self) -> None:
        if self._settings.families:
            await supervise("auditor", self._connect_and_lead, _RETRIED, Backoff(2.0, 2.0))

    async def _connect_and_lead(self) -> None:
        conn = await pool.connect(self._settings.dsn, name=f"{self._settings.service} auditor")
        try:
            while not await try_for(conn, Lock.AUDITOR):  # noqa: ASYNC110 - PostgreSQL sends no event for it
                await asyncio.sleep(_STANDBY_SECONDS)
            await epoch.until_checked(conn)  # what it has read is not read again when a new epoch begins
            await conn.execute(BY_INDEX)
            await self._lead(conn)
        finally:
            conn.terminate()  # the server lets go of the lock as soon as it sees this

    async def _lead(self, conn: Conn) -> None:
        settings = self._settings
        consumer = kafka.consumer(settings.bootstrap, security=settings.security)
        producer = kafka.producer(settings.bootstrap, security=settings.security)
        try:
            await consumer.start()
            await producer.start()
            metrics.AUDIT_LEADS.set(1)
            await LogPass(conn, consumer, settings.families, producer).run()
        finally:
            metrics.AUDIT_LEADS.set(0)
            await kafka.abort(producer)
            closing = asyncio.create_task(kafka.close(consumer))
            await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
