"""Producers and consumers with our settings, how they are ended, and which of their errors mean that the broker is
away.
"""

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    InvalidTimestampError,
    InvalidTopicError,
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NodeNotReadyError,
    PolicyViolationError,
    RecordListTooLargeError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from kielto.kafka.aiokafka_patches import closed_connection, stop_during_fetch, undecodable_header
from kielto.kafka.security import CLEAR, Security

closed_connection.install()
undecodable_header.install()
stop_during_fetch.install()

DOWN = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    asyncio.TimeoutError,
    OSError,
)
"""The broker is away or slow: try again. Everything else is a fault of ours or of its settings."""


REFUSED = (
    InvalidTimestampError,
    InvalidTopicError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)
"""The topic will not take this record, however often it is sent: too large, not ours to write. The others may."""


COMMITTED: dict[str, Any] = {"isolation_level": "read_committed"}
UNCOMMITTED: dict[str, Any] = {"isolation_level": "read_uncommitted"}
"""For whoever asks where a log ends, whatever is still open in it; and to read what may be aborted."""
_READING = {"fetch_max_bytes": 16 * 1024 * 1024, "max_partition_fetch_bytes": 4 * 1024 * 1024} | COMMITTED
FORBIDDEN = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
"""The user lacks a right."""
LOGIN = (SaslAuthenticationFailed, AuthenticationFailedError, AuthenticationMethodNotSupported)
"""The user is not who it says, or may not log in this way."""


def producer(
    bootstrap: str, *, security: Security = CLEAR, linger_ms: int = 0, batch_bytes: int = 131_072
) -> Any:
    """An AIOKafkaProducer that neither doubles nor reorders: idempotent, acks from all in-sync replicas."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        enable_idempotence=True,
        acks="all",
        linger_ms=linger_ms,
        max_batch_size=batch_bytes,
        max_request_size=4 * 1024 * 1024,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
        metadata_max_age_ms=30_000,
        **security.arguments(),
    )


def consumer(bootstrap: str, *, security: Security = CLEAR, group: str | None = None, **settings: Any) -> Any:
    """An AIOKafkaConsumer that loses nothing by default: earliest, no automatic commits. What a transaction wrote
    is read when it was committed; end offsets are then those up to the first open one.
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

    What waits may be older than what another producer has sent by now, so it must not go out any more.
    """
    producer._closed = True  # noqa: SLF001 - or its destructor complains
    for step in (producer._sender.close, producer.client.close):  # noqa: SLF001 - there is no public way
        with contextlib.suppress(Exception):
            async with asyncio.timeout(1):
                await step()


async def close(client: Any) -> None:
    """Stop a client. aiokafka's own `stop()` may raise the cancellation of its inner tasks, as if it were
    ours.
    """
    stop_during_fetch = asyncio.ensure_future(client.stop())
    await asyncio.wait([stop_during_fetch])
    if not stop_during_fetch.cancelled():
        stop_during_fetch.result()


async def end_offsets(client: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The next offset to be written in each partition, as of after this call began. Raises one of DOWN."""
    return dict(await client.end_offsets(list(partitions)))
