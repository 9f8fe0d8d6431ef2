"""The one adapter to aiokafka (untyped): clients with our settings, topic ids, creation and verification of
topics.

Everything else in this distribution sees Kafka through these functions. Sources: kafka.apache.org/protocol
(Metadata v10, KIP-516 topic ids) and the aiokafka documentation.
"""

import asyncio
import contextlib
import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from kielto import lenient
from kielto.events.topics import Topic

__all__ = [
    "DOWN",
    "ConsumerRebalanceListener",
    "KafkaError",
    "TopicMismatch",
    "TopicPartition",
    "abort",
    "consumer",
    "create_topics",
    "end_offsets",
    "partition_of",
    "producer",
    "topic_ids",
    "verify_topics",
]

lenient.install()

DOWN = (
    KafkaConnectionError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RequestTimedOutError,
    asyncio.TimeoutError,
    OSError,
)
"""The broker is away or slow: try again. Everything else is a fault of ours or of its settings."""


class TopicMismatch(Exception):
    """A topic is missing or differs from the group; the message names the topic, the setting, and both
    values.
    """


def producer(bootstrap: str, *, linger_ms: int = 0, batch_bytes: int = 131_072) -> Any:
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
    )


def consumer(bootstrap: str, *, group: str | None = None, **settings: Any) -> Any:
    """An AIOKafkaConsumer that loses nothing by default: earliest, no automatic commits, read_uncommitted."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_uncommitted",
        metadata_max_age_ms=30_000,
        request_timeout_ms=10_000,
        retry_backoff_ms=100,
        fetch_max_bytes=16 * 1024 * 1024,
        max_partition_fetch_bytes=4 * 1024 * 1024,
        **settings,
    )


async def abort(producer: Any) -> None:
    """Close a producer at once. `stop()` would first send what waits, and wait for a broker that is away.

    What waits may be older than what another producer has sent by now, so it must not go out any more.
    """
    producer._closed = True  # noqa: SLF001 - or its destructor complains
    for step in (producer._sender.close, producer.client.close):  # noqa: SLF001 - there is no public way
        with contextlib.suppress(Exception):
            await asyncio.wait_for(step(), 1)


async def close(client: Any) -> None:
    """Stop a client. aiokafka's own `stop()` may raise the cancellation of its inner tasks, as if it were
    ours.
    """
    stopping = asyncio.ensure_future(client.stop())
    await asyncio.wait([stopping])
    if not stopping.cancelled():
        stopping.result()


def partition_of(key: bytes, partitions: int) -> int:
    """What aiokafka's default partitioner gives, fixed at birth: Java's murmur2, sign bit cleared, modulo.

    The same algorithm as Kafka's Utils.murmur2, word by word: aiokafka's own goes byte by byte and takes
    three times as long, which is most of what the relay spends on a record. Held against it by a test.
    """
    words = len(key) >> 2
    h = _SEED ^ len(key)
    for k in struct.unpack_from(f"<{words}I", key):
        k = (k * _M) & _MASK
        h = ((h * _M) ^ ((k ^ (k >> 24)) * _M)) & _MASK
    if tail := key[words * 4 :]:
        h = ((h ^ int.from_bytes(tail, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF


async def end_offsets(client: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The next offset to be written in each partition, as of after this call began. Raises one of DOWN."""
    return dict(await client.end_offsets(list(partitions)))


class _TopicId(AbstractType[UUID]):
    """Sixteen bytes, as in the flexible versions of the protocol; aiokafka has no such type."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_NIL = UUID(int=0)


class _MetadataResponse(Response):
    API_KEY, API_VERSION = 3, 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataStruct(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION, RESPONSE_TYPE = 3, 10, _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _TopicId), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataStruct]):
    """Asks for topic ids, which aiokafka's own metadata request (v5) does not return."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [(_NIL, name, {}) for name in self._topics]
        return request_struct_class(topics, False, False, False, {})


async def topic_ids(client: Any, names: Sequence[str]) -> dict[str, UUID]:
    """The id of each existing topic of `names`. `client` is a started producer, consumer or admin. Raises one
    of DOWN.
    """
    inner = getattr(client, "client", None) or client._client  # noqa: SLF001 - no public way
    node = inner.get_random_node()
    if node is None:
        raise KafkaConnectionError("no broker is known")
    response = await inner.send(node, _MetadataRequest(names))
    return {name: ident for error, name, ident, *_ in response.topics if error == 0 and ident != _NIL}


async def create_topics(bootstrap: str, topics: Sequence[Topic], replicas: int = 1) -> list[str]:
    """Create those that are missing and wait until the broker shows them; returns the names of the new ones.

    Raises TopicMismatch when the broker refuses one, or one of DOWN.
    """
    admin = await _admin(bootstrap)
    try:
        existing = set(await admin.list_topics())
        missing = [t for t in topics if t.name not in existing]
        if not missing:
            return []
        response = await admin.create_topics(
            [NewTopic(t.name, t.partitions, replicas, topic_configs=t.config) for t in missing]
        )
        codes = {name: code for name, code, *_ in response.topic_errors}
        for name, code in codes.items():
            if code not in (0, _TOPIC_ALREADY_EXISTS):
                raise TopicMismatch(f"{name}: the broker refused to create it (error code {code})")
        async with asyncio.timeout(_SHOWN_SECONDS):
            while not codes.keys() <= set(await admin.list_topics()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return [name for name, code in codes.items() if code == 0]
    finally:
        await admin.close()


async def verify_topics(bootstrap: str, topics: Sequence[Topic]) -> None:
    """Compare partitions and settings with the group. Raises TopicMismatch naming every difference, or one of
    DOWN.
    """
    admin = await _admin(bootstrap)
    try:
        found = {
            t["topic"]: len(t["partitions"])
            for t in await admin.describe_topics([t.name for t in topics])
            if t["error_code"] == 0
        }
        wrong = [f"{t.name}: is missing (run the set-up)" for t in topics if t.name not in found]
        wrong += [
            f"{t.name}: has {found[t.name]} partitions, must have {t.partitions}"
            for t in topics
            if found.get(t.name, t.partitions) != t.partitions
        ]
        present = [t for t in topics if t.name in found]
        settings = await _settings(admin, [t.name for t in present])
        wrong += [
            f"{t.name}: {k} is {settings[t.name].get(k)}, must be {v}"
            for t in present
            for k, v in t.config.items()
            if settings[t.name].get(k) != v
        ]
        if wrong:
            raise TopicMismatch("; ".join(wrong))
    finally:
        await admin.close()


async def _settings(admin: Any, names: Sequence[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    result: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources) if resources else []:
        for resource in response.resources:
            result[resource[3]] = {entry[0]: entry[1] for entry in resource[4]}
    return result


async def _admin(bootstrap: str) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    try:
        await admin.start()
    except BaseException:
        await admin.close()
        raise
    return admin


_TOPIC_ALREADY_EXISTS = 36
_SHOWN_SECONDS = 10  # the controller has answered before every broker knows
