"""A service's inputs: fresh only when another's beats come, and are taken in, and nothing unreadable is
open.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kielto.events.topics import PARTITIONS, Lane
from kielto.service.inbox.input_freshness import InputFreshness
from tests.integration.service.support import Bench
from tests.waiting import until


@pytest.fixture
async def inputs(service: Bench) -> AsyncIterator[InputFreshness]:
    inputs = InputFreshness(service.bootstrap, service.pool)
    watching = asyncio.create_task(inputs.run([service.topics[_topic(service)]]))
    yield inputs
    watching.cancel()
    await asyncio.wait([watching])


def _topic(service: Bench) -> str:
    return service.family.topic(Lane.EXPRESS)


async def _take_in(service: Bench, offset: int = 1_000_000) -> None:
    """As if a consumer had: the positions are what counts."""
    topic_ids = await _topic_id(service)
    for partition in range(PARTITIONS):
        await service.pool.execute(
            "INSERT INTO positions VALUES ($1, $2, $3, $4) ON CONFLICT (topic, partition)"
            ' DO UPDATE SET "offset" = $4, topic_id = $3',
            _topic(service),
            partition,
            topic_ids,
            offset,
        )


async def _topic_id(service: Bench) -> object:
    from kielto import kafka

    consumer = kafka.consumer(service.bootstrap)
    await consumer.start()
    ids = await kafka.topic_ids(consumer, [_topic(service)])
    await consumer.stop()
    return ids[_topic(service)]


async def test_fresh_while_beats_are_taken_in(service: Bench, inputs: InputFreshness) -> None:
    def fresh() -> bool:
        return inputs.fresh([_topic(service)], 1.5)

    service.relay()
    await asyncio.sleep(1.5)
    assert not fresh(), "beats come, but nothing of them is taken in"
    await _take_in(service)
    await until(fresh, "not fresh although all is taken in")
    await service.pool.execute(
        """
        INSERT INTO quarantine
            (topic, topic_id, partition, "offset", timestamp_ms, reason, keyless)
        VALUES ($1, gen_random_uuid(), 2, 0, 0, 'x', true)""",
        _topic(service),
    )
    await until(lambda: not fresh(), "fresh although nobody knows whom a message denies")
    await service.pool.execute("UPDATE quarantine SET state = 'discarded'")
    await until(fresh, "not fresh after it was discarded")
    await service.stop_relays()
    await until(lambda: not fresh(), "fresh without beats")


async def test_one_partition_that_is_behind_is_enough(service: Bench, inputs: InputFreshness) -> None:
    service.relay()
    await _take_in(service)
    await until(lambda: inputs.fresh([_topic(service)], 1.5), "not fresh")
    await service.pool.execute('UPDATE positions SET "offset" = 0 WHERE partition = 3')
    await until(lambda: not inputs.fresh([_topic(service)], 1.5), "fresh although one is behind")
    assert not inputs.fresh([_topic(service), "unknown"], 1e9)
