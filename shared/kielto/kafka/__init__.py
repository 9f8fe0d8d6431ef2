"""The only adapter to aiokafka, which is untyped: everything else uses Kafka through these names.

`clients` with Kielto's settings, `security` (TLS and SASL), `topics` to create and verify them, `metadata` for topic
ids, `partitions` of keys and their ends, `codecs` and `parsing` for bounded reading of broken
batches, and `aiokafka_patches` for faults of aiokafka.
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
    producer,
    started,
)
from kielto.kafka.metadata import topic_ids, writable
from kielto.kafka.partitions import end_offsets, partition_of, stepped_over
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
    "started",
    "stepped_over",
    "topic_ids",
    "verify_topics",
    "writable",
]
