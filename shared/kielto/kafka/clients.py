"""Producers and consumers with Kielto's settings, how to close them, and groups of their errors."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, errors

from kielto.kafka.aiokafka_patches import closed_connection, stop_during_fetch, undecodable_header
from kielto.kafka.security import CLEAR, Security

closed_connection.install()
undecodable_header.install()
stop_during_fetch.install()

DOWN = (
    errors.KafkaConnectionError,
    errors.KafkaTimeoutError,
    errors.NodeNotReadyError,
    errors.RequestTimedOutError,
    asyncio.TimeoutError,
    OSError,
)
"""The broker is away or slow: try again. Other errors come from our code or from settings."""


REFUSED = (
    errors.InvalidTimestampError,
    errors.InvalidTopicError,
    errors.MessageSizeTooLargeError,
    errors.PolicyViolationError,
    errors.RecordListTooLargeError,
    errors.TopicAuthorizationFailedError,
)
"""The topic never accepts this record, e.g. because it is too large or the user may not write there."""


COMMITTED: dict[str, Any] = {"isolation_level": "read_committed"}
UNCOMMITTED: dict[str, Any] = {"isolation_level": "read_uncommitted"}
"""For end offsets that include open transactions, and to read records that may be aborted later."""
_READING = {"fetch_max_bytes": 16 * 1024 * 1024, "max_partition_fetch_bytes": 4 * 1024 * 1024} | COMMITTED
FORBIDDEN = (
    errors.TopicAuthorizationFailedError,
    errors.GroupAuthorizationFailedError,
    errors.ClusterAuthorizationFailedError,
)
"""The user lacks a right."""
LOGIN = (
    errors.SaslAuthenticationFailed,
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
)
"""The login failed, or this way to log in is not allowed."""


def producer(bootstrap: str, *, security: Security = CLEAR, linger_ms: int = 0) -> Any:
    """An AIOKafkaProducer that neither repeats nor reorders: idempotent, with acks from all in-sync replicas."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        acks="all",
        linger_ms=linger_ms,
        max_batch_size=131_072,
        max_request_size=4 * 1024 * 1024,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
        metadata_max_age_ms=30_000,
        **security.arguments(),
    )


def consumer(bootstrap: str, *, security: Security = CLEAR, group: str | None = None, **settings: Any) -> Any:
    """An AIOKafkaConsumer that loses nothing: it starts at the earliest offset and commits nothing by itself.

    It reads committed transactions only; end offsets are those of the first open transaction.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        metadata_max_age_ms=30_000,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
        **_READING | settings,
        **security.arguments(),
    )


async def abort(producer: Any) -> None:
    """Close a producer at once. `stop()` would first send what waits, and wait for a broker that is away.

    What waits may be older than what another producer has sent since, so it must not be sent.
    """
    producer._closed = True  # noqa: SLF001 - or its destructor complains
    for step in (producer._sender.close, producer.client.close):  # noqa: SLF001 - there is no public way
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await step()


async def close(client: Any) -> None:
    """Stop a client. aiokafka's own `stop()` may raise CancelledError because of its inner tasks."""
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait([stopping])
    if not stopping.cancelled():
        stopping.result()


@contextlib.asynccontextmanager
async def started(client: Any, end: Callable[[Any], Awaitable[None]] = close) -> AsyncIterator[Any]:
    """Start the client, and close it in any case; producers with `abort`. Raises one of DOWN."""
    try:
        await client.start()
        yield client
    finally:
        await end(client)
