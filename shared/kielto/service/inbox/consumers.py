"""The consumers: one FastStream subscriber per topic, with one middleware around all of them.

Positions are stored in the database, committed with the effects (`transactional.py`); the group
`kielto.<service>.<topic>` only assigns partitions. Nothing is committed to Kafka, so nothing can be committed too
early.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from faststream import AckPolicy, BaseMiddleware
from faststream.kafka import KafkaBroker
from faststream.message import StreamMessage
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from kielto import kafka
from kielto.errors import KieltoError
from kielto.events.topics import Topic
from kielto.service.database import pool as postgres
from kielto.service.inbox import transactional
from kielto.service.inbox.ahead import Ahead
from kielto.service.inbox.handlers import Subscription
from kielto.service.inbox.topic_reader import TopicReader, TransientError, polled
from kielto.service.inbox.watchdog import RestartConsumersError, Watchdog, topic_ids
from kielto.service.support import metrics
from kielto.service.support.bulk_throttle import NOBODY, BulkThrottle
from kielto.service.support.crypto_keys import MessageCipher
from kielto.service.support.supervise import Backoff, first_to_end, supervise

_BATCH, _BATCH_WAIT_MS = 200, 50
_BACKOFF = Backoff(1.0, 1.0)
_STOP_SECONDS = 3.0
_RETRIED = (*kafka.DOWN, *postgres.AWAY, kafka.KafkaError, RestartConsumersError)


class UnsafeSubscriberError(KieltoError):
    """A subscriber is configured so that it could lose messages; the service must not start. Names the topic and the
    rule.
    """


class Consumers:
    """Reads all topics of a service. Raises UnsafeSubscriberError when it is made; Kafka may be away when `run()`
    starts.
    """

    def __init__(
        self,
        service: str,
        bootstrap: str,
        pool: postgres.Pool,
        topics: Mapping[str, Topic],
        subscriptions: Sequence[Subscription],
        cipher: MessageCipher,
        *,
        security: kafka.Security = kafka.CLEAR,
        throttle: BulkThrottle = NOBODY,
    ) -> None:
        self._bootstrap, self._pool, self._security = bootstrap, pool, security
        intakes = {s.topic: transactional.Intake(pool, topics[s.topic], s, cipher) for s in subscriptions}
        self._readers = {
            s.topic: TopicReader(pool, intakes[s.topic], throttle, batch=s.batch) for s in subscriptions
        }
        self._ahead = Ahead(
            bootstrap, {s.topic: intakes[s.topic] for s in subscriptions if s.urgent}, security=security
        )
        self._broker = _broker(service, bootstrap, security, self._readers, subscriptions)
        check(self._broker)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        working, told = asyncio.create_task(self._work()), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({working, told}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                await working  # raises what ended it
        finally:
            told.cancel()
            working.cancel()
            # What is in hand is finished; a broker that is away is not waited for, as when leaving the group.
            closing = asyncio.create_task(kafka.close(self._broker))
            await asyncio.wait({working, closing}, timeout=_STOP_SECONDS)

    async def _work(self) -> None:
        if self._readers:
            await supervise("consumers", self._start_and_watch, _RETRIED, _BACKOFF, failed=_count_restart)

    async def _start_and_watch(self) -> None:
        try:
            async with kafka.started(kafka.consumer(self._bootstrap, security=self._security)) as client:
                ids = await topic_ids(client, self._readers)
                life = await transactional.life(self._pool)
                for topic, reader in self._readers.items():
                    await reader.prepare(ids[topic], life)
                await self._broker.start()
                watchdog = Watchdog(self._pool, client, self._readers, ids, life)
                await first_to_end(watchdog.run(), self._take_urgent())
        finally:
            await kafka.close(self._broker)

    async def _take_urgent(self) -> None:
        """Take urgent messages while the consumers run; a failure here is retried here and does not stop the
        consumers.
        """
        await supervise("urgent messages", self._ahead.run, (Exception,), _BACKOFF)
        await asyncio.Event().wait()  # there are no such topics


def _count_restart(error: Exception) -> None:
    cause = error.cause if isinstance(error, RestartConsumersError) else type(error).__name__
    metrics.CONSUMER_RESTARTS.labels(cause).inc()


def _broker(
    service: str,
    bootstrap: str,
    security: kafka.Security,
    readers: Mapping[str, TopicReader],
    subscriptions: Sequence[Subscription],
) -> KafkaBroker:
    """FastStream's own logging is off: it would log every message's place, and errors with content."""
    broker = KafkaBroker(
        bootstrap,
        client_id=f"kielto-{service}",
        security=_wire(security),
        consumer_only=True,
        allow_auto_create_topics=False,
        request_timeout_ms=10_000,
        metadata_max_age_ms=30_000,
        graceful_timeout=10.0,
        logger=None,
        apply_types=False,
        middlewares=[partial(Retrying, readers=readers)],
        parser=_parse,
        decoder=_decode,
    )
    for s in subscriptions:
        reader = readers[s.topic]
        options: dict[str, Any] = {"batch": True, "max_records": _BATCH, "batch_timeout_ms": _BATCH_WAIT_MS}
        reader.subscriber = broker.subscriber(
            s.topic,
            group_id=f"kielto.{service}.{s.topic}",
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=1000,
            session_timeout_ms=10_000,
            max_partition_fetch_bytes=4 * 1024 * 1024,
            **kafka.COMMITTED,
            listener=reader,
            no_reply=True,
            **(options if s.batch else {}),
        )
        reader.subscriber(_handler(reader))
        reader.subscriber._log = reader.failed_to_read  # noqa: SLF001 - its log is the only sign of a read error
    return broker


def _wire(security: kafka.Security) -> BaseSecurity:
    """The security settings as FastStream takes them."""
    if not security.sasl:
        return BaseSecurity(ssl_context=security.context, use_ssl=security.tls)
    return _SASL[security.mechanism](
        username=security.username or "",
        password=security.password or "",
        ssl_context=security.context,
        use_ssl=security.tls,
    )


_SASL = {"SCRAM-SHA-512": SASLScram512, "SCRAM-SHA-256": SASLScram256, "PLAIN": SASLPlaintext}


def _handler(reader: TopicReader) -> Any:
    async def take(records: Sequence[Any]) -> None:
        await reader.take(records)

    take.__name__ = f"take_{reader.topic}"
    return take


async def _parse(raw: Any) -> StreamMessage[Any]:
    """FastStream's own parser raises on a null or non-UTF-8 header, before any handler, and passes the record
    over.

    This one looks at nothing: `kielto.events.envelope.read` does, and never raises.
    """
    first = polled(raw)[0]
    place = f"{first.topic}:{first.partition}:{first.offset}"
    return StreamMessage(raw, b"", correlation_id=place, message_id=place)


async def _decode(message: StreamMessage[Any]) -> Any:
    return polled(message.raw_message)


class Retrying(BaseMiddleware):
    """Middleware that reads a failed message again, without a limit, while its partition is paused.

    FastStream itself would drop any error, of the handler or of parsing, and go on with the next message. So this
    looks at the end of the whole processing, not only around the handler.
    """

    def __init__(self, msg: Any, /, *, context: Any, readers: Mapping[str, TopicReader]) -> None:
        super().__init__(msg, context=context)
        self._readers = readers

    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,  # noqa: ARG002 - FastStream's signature
        exc_val: BaseException | None = None,
        exc_tb: Any = None,  # noqa: ARG002 - FastStream's signature
    ) -> bool:
        if not isinstance(exc_val, Exception):
            return False
        records = polled(self.msg)
        transient = exc_val if isinstance(exc_val, TransientError) else TransientError.whole(records, exc_val)
        self._readers[records[0].topic].back_off(transient)
        return True


def check(broker: KafkaBroker) -> None:
    """Raise UnsafeSubscriberError where FastStream's defaults would lose the current message or start at the end of
    the topic.
    """
    subscribers: list[Any] = list(broker.subscribers)
    for subscriber in subscribers:
        name = ", ".join(subscriber.topic_names)
        if len(subscriber.topic_names) != 1:
            raise UnsafeSubscriberError(f"{name}: a subscriber must read exactly one topic")
        if subscriber.ack_policy is not AckPolicy.MANUAL:
            raise UnsafeSubscriberError(f"{name}: ack_policy must be MANUAL")
        if not subscriber.group_id:
            raise UnsafeSubscriberError(f"{name}: group_id is missing")
        if subscriber._connection_args.get("auto_offset_reset") != "earliest":  # noqa: SLF001 - no public way
            raise UnsafeSubscriberError(f"{name}: auto_offset_reset must be earliest")
        if not isinstance(subscriber._listener, TopicReader):  # noqa: SLF001 - as above
            raise UnsafeSubscriberError(
                f"{name}: the listener must be a TopicReader, which seeks the stored positions"
            )
