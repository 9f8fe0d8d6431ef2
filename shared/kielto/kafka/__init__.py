"""The one adapter to aiokafka (untyped): everything else in this distribution sees Kafka through these names.

`clients` with our settings, `security` on the wire, `topics` created and verified, `metadata` for their ids,
`partitions` of keys, `gaps` where no record stands, `lenient` reading, within bounds (`codecs`), of what would stop a
topic, and `stopping` amid a failed fetch.
"""

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from kielto.kafka.clients import (
    COMMITTED,
    DOWN,
    FORBIDDEN,
    LOGIN,
    REFUSED,
    UNCOMMITTED,
    abort,
    close,
    consumer,
    end_offsets,
    producer,
)
from kielto.kafka.gaps import stepped_over
from kielto.kafka.metadata import topic_ids, writable
from kielto.kafka.partitions import partition_of
from kielto.kafka.security import CLEAR, Security, SecurityError
from kielto.kafka.topics import TopicMismatchError, TopicsMissingError, create_topics, verify_topics

__all__ = [
    "CLEAR",
    "COMMITTED",
    "DOWN",
    "FORBIDDEN",
    "LOGIN",
    "REFUSED",
    "UNCOMMITTED",
    "ConsumerRebalanceListener",
    "KafkaError",
    "Security",
    "SecurityError",
    "TopicMismatchError",
    "TopicPartition",
    "TopicsMissingError",
    "abort",
    "close",
    "consumer",
    "create_topics",
    "end_offsets",
    "partition_of",
    "producer",
    "stepped_over",
    "topic_ids",
    "verify_topics",
    "writable",
]
