"""The Kafka adapter against a real broker: topics as the group says, their ids, the partitioner on the wire."""

import dataclasses
import secrets
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events.topics import Topic, all_topics
from tests.waiting import until


@pytest.fixture
def topics() -> tuple[Topic, ...]:
    """One state topic and one report topic, under names that no other test uses."""
    wanted = {"company.a.restrictions.v1", "company.a.decisions.v1"}
    return tuple(
        dataclasses.replace(t, name=f"t{secrets.token_hex(4)}.{t.name}")
        for t in all_topics(["company.a"])
        if t.name in wanted
    )


@pytest_asyncio.fixture
async def admin(stack: Stack) -> AsyncIterator[Any]:
    client = AIOKafkaAdminClient(bootstrap_servers=stack.kafka.bootstrap)
    await client.start()
    yield client
    await client.close()


async def test_created_topics_are_as_the_group_says(stack: Stack, topics: tuple[Topic, ...]) -> None:
    created = await kafka.create_topics(stack.kafka.bootstrap, topics)
    assert sorted(created) == sorted(t.name for t in topics)
    await kafka.verify_topics(stack.kafka.bootstrap, topics)


async def test_creating_them_again_creates_nothing(
    stack: Stack, topics: tuple[Topic, ...], admin: Any
) -> None:
    first, _ = topics
    await kafka.create_topics(stack.kafka.bootstrap, [first])
    before = await kafka.topic_ids(admin, [first.name])
    assert await kafka.create_topics(stack.kafka.bootstrap, topics) == [topics[1].name]
    assert await kafka.create_topics(stack.kafka.bootstrap, topics) == []
    assert await kafka.topic_ids(admin, [first.name]) == before


async def test_every_difference_is_named(stack: Stack, topics: tuple[Topic, ...], admin: Any) -> None:
    state, reports = topics
    missing = dataclasses.replace(state, name=f"{state.name}.missing")
    await kafka.create_topics(stack.kafka.bootstrap, topics)
    await admin.create_partitions({reports.name: NewPartitions(7)})
    wrong = {"cleanup.policy": "delete"}
    await admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, state.name, {**state.config, **wrong})]
    )

    said = ""

    async def all_said() -> bool:
        nonlocal said
        with pytest.raises(kafka.TopicMismatchError) as caught:
            await kafka.verify_topics(stack.kafka.bootstrap, [*topics, missing])
        said = str(caught.value)
        return said.count(";") == 2

    await until(all_said)
    assert f"{missing.name}: missing, run the set-up" in said
    assert f"{reports.name}: has 7 partitions, must have 6" in said
    assert f"{state.name}: cleanup.policy is delete, must be compact" in said


async def test_verifying_creates_nothing(stack: Stack, topics: tuple[Topic, ...], admin: Any) -> None:
    with pytest.raises(kafka.TopicMismatchError):
        await kafka.verify_topics(stack.kafka.bootstrap, topics)
    assert await kafka.topic_ids(admin, [t.name for t in topics]) == {}
    assert not {t.name for t in topics} & set(await admin.list_topics())


async def test_a_topic_that_the_broker_refuses_is_named(stack: Stack, topics: tuple[Topic, ...]) -> None:
    wrong = dataclasses.replace(topics[0], config={"cleanup.policy": "sometimes"})
    with pytest.raises(kafka.TopicMismatchError, match=wrong.name):
        await kafka.create_topics(stack.kafka.bootstrap, [wrong])


async def test_a_topic_made_anew_under_the_same_name_has_another_id(
    stack: Stack, topics: tuple[Topic, ...], admin: Any
) -> None:
    name = topics[0].name
    await kafka.create_topics(stack.kafka.bootstrap, topics)
    producer, consumer = kafka.producer(stack.kafka.bootstrap), kafka.consumer(stack.kafka.bootstrap)
    await producer.start()
    await consumer.start()
    try:
        before = await kafka.topic_ids(producer, [t.name for t in topics])
        assert set(before) == {t.name for t in topics}
        assert await kafka.topic_ids(consumer, [name, "no.such.topic"]) == {name: before[name]}

        await admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await kafka.topic_ids(consumer, [name])

        await until(gone)
        await kafka.create_topics(stack.kafka.bootstrap, topics)

        after = await kafka.topic_ids(consumer, [t.name for t in topics])
        assert after[name] != before[name]
        assert after[topics[1].name] == before[topics[1].name]
    finally:
        await producer.stop()
        await consumer.stop()


async def test_keys_go_where_the_published_partitioner_says(stack: Stack, topics: tuple[Topic, ...]) -> None:
    name = topics[1].name
    await kafka.create_topics(stack.kafka.bootstrap, topics)
    producer = kafka.producer(stack.kafka.bootstrap)
    await producer.start()
    try:
        for key in (secrets.token_hex(32).encode() for _ in range(50)):
            written = await producer.send_and_wait(name, b"{}", key=key)
            assert written.partition == kafka.partition_of(key, 6)
        partitions = [kafka.TopicPartition(name, p) for p in range(6)]
        consumer = kafka.consumer(stack.kafka.bootstrap)
        await consumer.start()
        try:
            assert sum((await kafka.end_offsets(consumer, partitions)).values()) == 50
        finally:
            await consumer.stop()
    finally:
        await producer.stop()


async def test_a_broker_that_is_away_is_told_from_a_fault_of_ours() -> None:
    with pytest.raises(kafka.DOWN):
        await kafka.create_topics("127.0.0.1:1", [])
    with pytest.raises(kafka.DOWN):
        await kafka.verify_topics("127.0.0.1:1", [])
