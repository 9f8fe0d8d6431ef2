"""A consumer stops in order, whatever its fetches are doing."""

import asyncio
import dataclasses
import secrets
from typing import Any

import pytest
from aiokafka.errors import NodeNotReadyError

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events.topics import all_topics


async def test_stopped_while_a_failed_fetch_pauses(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the broker has just died. The pause is drawn out, so that the moment is met for sure."""
    topic = next(t for t in all_topics(["company.a"]) if t.name == "company.a.restrictions.v1")
    topic = dataclasses.replace(topic, name=f"t{secrets.token_hex(4)}.{topic.name}")
    await kafka.create_topics(stack.kafka.bootstrap, [topic])
    consumer: Any = kafka.consumer(stack.kafka.bootstrap)
    await consumer.start()
    failed = asyncio.Event()

    async def away(*_: Any, **__: Any) -> None:
        failed.set()
        raise NodeNotReadyError

    monkeypatch.setattr(consumer._client, "send", away)
    monkeypatch.setattr(consumer._fetcher, "_retry_backoff", 60)
    place = kafka.TopicPartition(topic.name, 0)
    consumer.assign([place])
    consumer.seek(place, 0)
    await asyncio.wait_for(failed.wait(), 10)

    stopping = asyncio.ensure_future(consumer.stop())
    await asyncio.wait([stopping], timeout=10)
    assert stopping.done()
    assert not stopping.cancelled(), "the caller would take it for a cancellation of its own"
    assert not any(connection.connected() for connection in consumer._client._conns.values())


async def test_stopped_just_after_its_partitions_were_taken_away(stack: Stack) -> None:
    """As where `stepped_over` fails, or is cancelled. It hung for ever, in five of six."""
    topic = next(t for t in all_topics(["company.a"]) if t.name == "company.a.restrictions.v1")
    topic = dataclasses.replace(topic, name=f"t{secrets.token_hex(4)}.{topic.name}")
    await kafka.create_topics(stack.kafka.bootstrap, [topic])

    async def once() -> None:
        consumer: Any = kafka.consumer(stack.kafka.bootstrap)
        await consumer.start()
        place = kafka.TopicPartition(topic.name, 0)
        consumer.assign([place])
        consumer.seek(place, 0)
        await consumer.getmany(timeout_ms=100)
        consumer.unsubscribe()
        await kafka.close(consumer)

    for _ in range(4):
        stopping = asyncio.ensure_future(once())
        await asyncio.wait([stopping], timeout=5)
        assert stopping.done()
        stopping.result()
