"""Killed here: what is lost, doubled, reordered, stuck? Nothing, yes, nothing, nothing."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.kafka import Kafka
from kielto.events.topics import Lane
from kielto.service.outbox import express_lane
from tests.integration.service.faults import unreliable
from tests.integration.service.support import Bench, bench, environment, key, rising
from tests.waiting import until

CHILD = Path(__file__).parents[1] / "process" / "child.py"


async def _child(service: Bench, point: str) -> "asyncio.subprocess.Process":
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(CHILD),
        service.dsn,
        service.bootstrap,
        service.family.name,
        point,
        env=environment(),
    )


async def _killed(service: Bench, point: str) -> None:
    process = await _child(service, point)
    try:
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _versions(service: Bench, k: str) -> list[str]:
    return [e.version for e in await service.log() if e.key == k]


async def test_killed_between_the_answer_and_the_deletion(service: Bench) -> None:
    k = key()
    await service.publish(k, "1")
    await _killed(service, "acknowledged")
    assert await service.marks() == 1
    assert await _versions(service, k) == ["1.1"]
    await service.publish(k, "2")
    await service.publish(k, "1")
    service.relay()
    await service.no_marks()
    assert await _versions(service, k) == ["1.1", "1.3"], "never back to an older one"


async def test_killed_between_the_answer_and_the_deletion_of_an_unchanged_record(service: Bench) -> None:
    k = key()
    await service.publish(k)
    await _killed(service, "acknowledged")
    service.relay()
    await service.no_marks()
    assert await _versions(service, k) == ["1.1", "1.1"], "doubled, under the same version"
    places = await service.pool.fetch('SELECT "offset" FROM publications WHERE key = $1', k)
    assert len(places) == 1, "a proof uses the one that we know of"


async def test_killed_between_the_commit_and_the_sending(service: Bench) -> None:
    k = key()
    await service.publish(k)
    await _killed(service, "fetched")
    assert await _versions(service, k) == []
    service.relay()
    await service.no_marks()
    assert await _versions(service, k) == ["1.1"]


async def test_a_planted_early_deletion_loses_the_record(service: Bench) -> None:
    """The test above can fail: with the marks deleted before the answer, the record never comes."""
    k = key()
    await service.publish(k)
    await _killed(service, "deleted")
    service.relay()
    await service.no_marks()
    await asyncio.sleep(0.5)
    assert await _versions(service, k) == []


async def test_answers_lost_and_refused_at_random(service: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some partitions of some sends: never sent, or sent with the answer lost. The lane stops and begins
    again.
    """
    chance = random.Random(7)
    monkeypatch.setattr(express_lane, "deliver", unreliable(chance, 60))
    service.relay()
    keys = [key() for _ in range(8)]
    for n in range(120):
        await service.publish(chance.choice(keys), str(n))
        await asyncio.sleep(0.01)
    await service.no_marks()
    entries = [e for e in await service.log() if not e.key.startswith("!")]
    rows = await service.pool.fetch("SELECT key, n FROM records")
    for row in rows:
        versions = [e.version for e in entries if e.key == row["key"]]
        assert rising(versions), f"reordered: {versions}"
        assert versions[-1] == f"1.{row['n']}", "the last record of every key has its highest version"
    placed = await service.pool.fetch('SELECT key, n, partition, "offset" FROM publications')
    stands = {(e.key, e.version, e.partition, e.offset) for e in entries}
    assert all((r["key"], f"1.{r['n']}", r["partition"], r["offset"]) in stands for r in placed)


async def test_two_processes_at_once_and_the_leader_is_killed(service: Bench) -> None:
    first = await _child(service, "never")
    await until(lambda: _led(service), "nobody leads")
    second = await _child(service, "never")
    try:
        for n in range(40):
            await service.publish(key(1 + n % 4), str(n))
            if n == 20:
                first.kill()
        await service.no_marks()
        entries = [e for e in await service.log() if not e.key.startswith("!")]
        for n in range(1, 5):
            versions = [e.version for e in entries if e.key == key(n)]
            assert rising(versions)
            assert versions[-1] == "1.10"
    finally:
        for process in (first, second):
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _led(service: Bench) -> bool:
    return bool(await service.pool.fetchval("SELECT term > 1 FROM epoch"))


@pytest.fixture
async def own(kafka: Kafka, database: Callable[[str], str]) -> AsyncIterator[Bench]:
    """With a broker of its own, to stop and start."""
    async with bench(database("plumbing"), kafka.bootstrap) as made:
        yield made


async def test_kafka_down_at_the_start(own: Bench, kafka: Kafka) -> None:
    kafka.stop()
    own.relay(Lane.EXPRESS), own.relay(Lane.BULK)
    keys = [key() for _ in range(20)]
    for k in keys:
        await own.publish(k)  # accepted: it is in PostgreSQL
    await asyncio.sleep(1)
    assert await own.marks() == 20
    await asyncio.to_thread(kafka.start)
    await until(lambda: own._none(), "not delivered after the broker came back", 40)
    assert {e.key for e in await own.log()} >= set(keys)


async def test_a_leader_that_waits_for_kafka_notices_that_it_leads_no_more(own: Bench, kafka: Kafka) -> None:
    relay = own.relay()
    await until(lambda: relay.leads, "nobody leads")
    await asyncio.to_thread(kafka.stop)
    await own.publish(key())
    await asyncio.sleep(0.5)  # it has sent, and waits
    await own.pool.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name LIKE '%relay express%' AND datname = current_database()"
    )
    await until(lambda: not relay.leads, "it would send when the broker is back, beside the next leader", 3)


async def test_a_leader_that_waits_for_kafka_can_be_stopped(own: Bench, kafka: Kafka) -> None:
    relay = own.relay()
    await until(lambda: relay.leads, "nobody leads")
    await asyncio.to_thread(kafka.stop)
    await own.publish(key())
    await asyncio.sleep(0.5)
    relay.stop()
    ((_, task),) = own.relays
    await asyncio.wait_for(asyncio.shield(task), 5)
    assert await own.marks() == 1


async def test_kafka_killed_in_the_middle(own: Bench, kafka: Kafka) -> None:
    own.relay()
    keys = [key() for _ in range(5)]
    for n in range(60):
        await own.publish(keys[n % 5], str(n))
        if n == 20:
            await asyncio.to_thread(kafka.kill)
        if n == 45:
            await asyncio.to_thread(kafka.start)
    await until(lambda: own._none(), "not delivered after the broker came back", 60)
    entries = await own.log()
    for k in keys:
        versions = [e.version for e in entries if e.key == k]
        assert rising(versions), f"reordered: {versions}"
        assert versions[-1] == "1.12"


async def test_a_refused_record_stops_its_topic_until_it_is_mended(
    own: Bench,
) -> None:
    """The broker itself refuses one record (too large for its topic): nothing overtakes it, nothing is
    dropped.
    """
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    admin: Any = AIOKafkaAdminClient(bootstrap_servers=own.bootstrap)
    await admin.start()
    limit = ConfigResource(
        ConfigResourceType.TOPIC, own.family.topic(Lane.EXPRESS), {"max.message.bytes": "3000"}
    )
    await admin.alter_configs([limit])
    await admin.close()
    relay = own.relay()
    await until(lambda: relay.leads, "nobody leads")
    k = key()
    await own.publish(k, *(str(n) for n in range(100)))
    await asyncio.sleep(2)
    assert await own.marks() == 1
    await own.publish(k, "1")
    await own.no_marks()
    assert await _versions(own, k) == ["1.2"]
