"""Acknowledged, and not there: the auditor has it published again, a record or a whole topic."""

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from kielto import kafka
from kielto.events.topics import PARTITIONS, Lane
from kielto.kafka import TopicPartition
from kielto.service.database.pool import transaction
from kielto.service.outbox import backfills
from tests.integration.service.auditor.auditing import (
    all_repaired,
    auditing,
    caught_up,
    findings,
    last_versions,
)
from tests.integration.service.support import Bench, key
from tests.waiting import until


async def twenty_published(service: Bench) -> list[str]:
    keys = [key() for _ in range(20)]
    for k in keys:
        await service.publish(k, "1", express=False)
    await service.no_marks()
    return keys


async def test_a_mark_that_was_deleted_before_the_answer(service: Bench) -> None:
    """The database holds it as published; nothing of it is in the log."""
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    async with auditing(service):
        lost, other = key(), key()
        await service.publish(other, "1")
        await service.no_marks()
        await service.stop_relays()
        await service.publish(lost, "1")
        await service.pool.execute("DELETE FROM marks")
        service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
        await all_repaired(service, 1)
    assert await findings(service) == [("vanished", lost, "repaired")]
    assert await last_versions(service, Lane.EXPRESS, lost) == ["1.1"]


async def test_a_position_that_was_noted_and_a_record_that_is_not_there(service: Bench) -> None:
    """Its newest version stands on the other topic; on this one an acknowledged version is missing."""
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    k = key()
    await service.publish(k, "1", express=False)
    await service.no_marks()
    ids = {r["topic"]: r["topic_id"] for r in await service.pool.fetch("SELECT * FROM publications")}
    await service.pool.execute(
        """INSERT INTO publications (family, key, epoch, n, topic, topic_id, partition, "offset")
        SELECT family, key, epoch, n + 1, topic, topic_id, partition, "offset" FROM publications"""
    )
    await service.publish(k, "2")
    await service.publish(k, "3")
    await service.no_marks()
    assert set(ids) == {service.family.bulk}
    async with auditing(service):
        await all_repaired(service, 1)
    assert await findings(service) == [("vanished", k, "repaired")]
    assert (await last_versions(service, Lane.BULK, k))[0] == "1.1"
    assert (await last_versions(service, Lane.BULK, k))[-1] >= "1.2"


async def test_a_lost_beginning_of_a_topic(service: Bench) -> None:
    """Records that were read back are deleted afterwards, as by a wrong retention."""
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    keys = await twenty_published(service)
    async with auditing(service):
        await caught_up(service)
        await _delete_all(service, service.family.bulk)
        assert not [e for e in await service.log(Lane.BULK) if e.key in keys]
        await all_repaired(service, len(keys))
    assert sorted(await findings(service)) == sorted(("vanished", k, "repaired") for k in keys)
    assert sorted(e.key for e in await service.log(Lane.BULK) if e.key != "!beat") == sorted(keys)


async def test_a_topic_that_was_deleted_and_made_anew(service: Bench) -> None:
    """A backfill publishes everything again; until then gates are shut."""
    async with transaction(service.pool) as conn:
        await backfills.request_first(conn, [service.family])
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    keys = await twenty_published(service)
    async with auditing(service):
        await caught_up(service)
    await service.stop_relays()
    await _recreate(service, service.family.bulk)
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    async with auditing(service):
        await all_repaired(service, PARTITIONS)
    assert set(await findings(service)) == {("vanished", None, "repaired")}
    assert {e.key for e in await service.log(Lane.BULK)} - {"!beat"} == {*keys, "!snapshot"}
    assert await service.pool.fetchval("SELECT max(generation) FROM snapshots") == 2
    rows = await service.pool.fetch("SELECT DISTINCT topic_id FROM audit")
    assert len(rows) == 1


async def test_a_truncated_end(service: Bench) -> None:
    """As after an unclean change of the broker's leader: what was read back is not there, offsets begin
    again below. No broker of ours does that by itself, so the position is moved instead.
    """
    service.relay(Lane.EXPRESS), service.relay(Lane.BULK)
    k = key()
    await service.publish(k, "1", express=False)
    await service.no_marks()
    async with auditing(service):
        await caught_up(service)
    await service.pool.execute(
        """UPDATE audit_positions SET "offset" = "offset" + 5 WHERE topic = $1 AND "offset" > 0""",
        service.family.bulk,
    )
    await service.pool.execute('UPDATE audit SET "offset" = "offset" + 4')
    async with auditing(service):
        await all_repaired(service, 1)
    assert await findings(service) == [("vanished", k, "repaired")]
    assert await last_versions(service, Lane.BULK, k) == ["1.1", "1.1"]


async def _delete_all(service: Bench, topic: str) -> None:
    """The broker allows it only where records may be deleted at all."""
    consumer = kafka.consumer(service.bootstrap)
    await consumer.start()
    places = [TopicPartition(topic, p) for p in range(PARTITIONS)]
    ends = await kafka.end_offsets(consumer, places)
    await kafka.close(consumer)
    admin = await _admin(service)
    try:
        policy = {"cleanup.policy": "compact,delete"}
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=policy)])
        async with asyncio.timeout(20):
            while True:
                try:
                    await admin.delete_records({at: RecordsToDelete(before_offset=ends[at]) for at in places})
                except kafka.KafkaError:  # the broker does not know of the new setting yet
                    await asyncio.sleep(0.2)
                else:
                    return
    finally:
        await admin.close()


async def _recreate(service: Bench, topic: str) -> None:
    admin = await _admin(service)
    try:
        await admin.delete_topics([topic])
        await until(lambda: _gone(admin, topic), "the topic is still there")
    finally:
        await admin.close()
    await kafka.create_topics(service.bootstrap, [service.topics[topic]])


async def _gone(admin: Any, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def _admin(service: Bench) -> Any:
    admin = AIOKafkaAdminClient(bootstrap_servers=service.bootstrap)
    await admin.start()
    return admin
