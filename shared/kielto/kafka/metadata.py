"""Topic ids and the client's rights, which aiokafka's own metadata request does not ask for.

Source: kafka.apache.org/protocol (Metadata v10, KIP-516).
"""

from collections.abc import Sequence
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.errors import KafkaConnectionError
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


class _TopicId(AbstractType[UUID]):
    """A UUID of the flexible protocol versions; aiokafka has no such type."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_NIL = UUID(int=0)
_WRITE = 1 << 4  # AclOperation.WRITE, of a topic's authorized operations (KIP-430)


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

    def __init__(self, topics: Sequence[str], *, operations: bool = False) -> None:
        self._topics, self._operations = topics, operations

    def build(self, request_struct_class: type[_MetadataStruct]) -> _MetadataStruct:
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [(_NIL, name, {}) for name in self._topics]
        return request_struct_class(topics, False, False, self._operations, {})


async def topic_ids(client: Any, names: Sequence[str]) -> dict[str, UUID]:
    """The id of each existing topic of `names`. `client` is a started producer, consumer or admin. Raises one
    of DOWN.
    """
    response = await _ask(client, _MetadataRequest(names))
    return {name: ident for error, name, ident, *_ in response.topics if error == 0 and ident != _NIL}


async def writable(client: Any, names: Sequence[str]) -> set[str]:
    """Those of the existing topics that this client's user may write: all, where no authorizer is. Raises one of
    DOWN.
    """
    response = await _ask(client, _MetadataRequest(names, operations=True))
    return {topic[1] for topic in response.topics if topic[0] == 0 and topic[5] & _WRITE}


async def _ask(client: Any, request: _MetadataRequest) -> Any:
    inner = getattr(client, "client", None) or client._client  # noqa: SLF001 - no public way
    node = inner.get_random_node()
    if node is None:
        raise KafkaConnectionError("no broker is known")
    return await inner.send(node, request)
