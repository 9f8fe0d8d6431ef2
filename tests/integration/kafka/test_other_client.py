"""What is in the topics is plain Kafka: librdkafka, a client without a line in common with ours, reads it alike,
and its own partitioner puts a key where ours does.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.contract.schemas import EXAMPLE_OF
from kielto.events.base import Event
from kielto.events.control import Beat
from kielto.events.envelope import encode
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Topic


@asynccontextmanager
async def a_topic(bootstrap: str, model: type[Event]) -> AsyncIterator[tuple[str, Any]]:
    """A topic of its own, and a producer of ours."""
    topic = f"other{secrets.token_hex(4)}"
    await kafka.create_topics(bootstrap, [Topic(topic, "consents", ("company.a",), (model,), {})])
    producer = kafka.producer(bootstrap)
    await producer.start()
    try:
        yield topic, producer
    finally:
        await producer.stop()


@pytest.mark.parametrize("model", [Permissions, Beat], ids=lambda m: m.kind)
async def test_another_client_reads_key_headers_and_value(stack: Stack, model: type[Event]) -> None:
    event = EXAMPLE_OF[model]
    message = encode(event, key="a1" * 32, source="consents")
    async with a_topic(stack.kafka.bootstrap, model) as (topic, producer):
        await producer.send_and_wait(topic, message.value, key=message.key, headers=message.headers)

        (read,) = await asyncio.to_thread(read_one, stack.kafka.bootstrap, topic)

    assert read.key() == b"a1" * 32
    assert read.headers() == list(message.headers)
    assert model.model_validate(json.loads(read.value())) == event


async def test_another_client_puts_a_key_in_the_same_partition(stack: Stack) -> None:
    """A company may write its decisions with the client of its choice, given Kafka's own partitioner."""
    keys = [secrets.token_hex(32).encode() for _ in range(200)]
    async with a_topic(stack.kafka.bootstrap, Permissions) as (topic, _):
        placed = await asyncio.to_thread(places, stack.kafka.bootstrap, topic, keys)

    assert placed == {key: kafka.partition_of(key, PARTITIONS) for key in keys}
    assert set(placed.values()) == set(range(PARTITIONS))


def read_one(bootstrap: str, topic: str) -> list[Any]:
    """The first record of the topic, wherever it stands."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": topic, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        return consumer.consume(1, timeout=30)
    finally:
        consumer.close()


def places(bootstrap: str, topic: str, keys: list[bytes]) -> dict[bytes, int]:
    """The partition that librdkafka chose for each key."""
    found: dict[bytes, int] = {}

    def told(error: Any, message: Any) -> None:
        assert error is None, error
        found[message.key()] = message.partition()

    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2"})
    for key in keys:
        producer.produce(topic, b"{}", key, on_delivery=told)
    assert producer.flush(30) == 0
    return found
