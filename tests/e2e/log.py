"""The log itself: whether the last record of every key has its highest version, whoever repairs what."""

from collections.abc import AsyncIterator, Iterable
from typing import Any

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.events.versions import Version


async def versions(bootstrap: str, topics: Iterable[str]) -> dict[tuple[str, str], list[Version]]:
    """By (topic, key): the versions in the order of the log, control records and tombstones left out."""
    found: dict[tuple[str, str], list[Version]] = {}
    async for record in _records(bootstrap, topics):
        if not record.key.startswith(b"!") and record.value is not None:
            version = Version.parse(dict(record.headers)["ce_kieltoversion"].decode())
            found.setdefault((record.topic, record.key.decode()), []).append(version)
    return found


async def places(bootstrap: str, topics: Iterable[str]) -> set[tuple[str, int, int]]:
    """(topic, partition, offset) of everything that still stands there."""
    return {(r.topic, r.partition, r.offset) async for r in _records(bootstrap, topics)}


async def _records(bootstrap: str, topics: Iterable[str]) -> AsyncIterator[Any]:
    """All there are when this begins."""
    consumer = kafka.consumer(bootstrap)
    await consumer.start()
    try:
        partitions = [kafka.TopicPartition(t, p) for t in topics for p in range(PARTITIONS)]
        consumer.assign(partitions)
        ends = await kafka.end_offsets(consumer, partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        waiting = {p for p in partitions if ends[p] > 0}
        while waiting:
            for records in (await consumer.getmany(timeout_ms=500, max_records=5000)).values():
                for record in records:
                    yield record
            waiting = {p for p in waiting if await consumer.position(p) < ends[p]}
    finally:
        await consumer.stop()


def regressions(found: dict[tuple[str, str], list[Version]]) -> list[str]:
    """Keys whose last record is not their highest: what compaction would keep is then wrong."""
    return [
        f"{topic} {key}: ends at {v[-1]}, had {max(v)}"
        for (topic, key), v in found.items()
        if v[-1] != max(v)
    ]
