"""The one adapter to aiokafka (untyped): everything else in this distribution sees Kafka through these names.

`clients` with our settings, `security` on the wire, `topics` created and verified, `metadata` for their ids,
`partitions` of keys, `lenient` reading of headers that would stop a topic, and `stopping` amid a failed fetch.
"""

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from kielto.kafka.clients import DOWN, REFUSED, abort, close, consumer, end_offsets, producer
from kielto.kafka.metadata import topic_ids
from kielto.kafka.partitions import partition_of
from kielto.kafka.security import CLEAR, Security, SecurityError
from kielto.kafka.topics import TopicMismatch, create_topics, verify_topics

__all__ = [
    "CLEAR",
    "DOWN",
    "REFUSED",
    "ConsumerRebalanceListener",
    "KafkaError",
    "Security",
    "SecurityError",
    "TopicMismatch",
    "TopicPartition",
    "abort",
    "close",
    "consumer",
    "create_topics",
    "end_offsets",
    "partition_of",
    "producer",
    "topic_ids",
    "verify_topics",
]
