"""The log itself: whether the last record of every key has its highest version, whoever repairs what."""

from collections.abc import Iterable

from kielto import kafka
from kielto.events.topics import PARTITIONS
from kielto.events.versions import Version


async def versions(bootstrap: str, topics: Iterable[str]) -> dict[tuple[str, str], list[Version]]:
    """By (topic, key): the versions in the order of the log, control records and tombstones left out."""
    found: dict[tuple[str, str], list[Version]] = {}
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
            for partition, records in (await consumer.getmany(timeout_ms=500, max_records=5000)).items():
                for record in records:
                    if record.key.startswith(b"!") or record.value is None:
                        continue
                    version = Version.parse(dict(record.headers)["ce_kieltoversion"].decode())
                    found.setdefault((partition.topic, record.key.decode()), []).append(version)
            waiting = {p for p in waiting if await consumer.position(p) < ends[p]}
    finally:
        await consumer.stop()
    return found


def regressions(found: dict[tuple[str, str], list[Version]]) -> list[str]:
    """Keys whose last record is not their highest: what compaction would keep is then wrong."""
    return [
        f"{topic} {key}: ends at {v[-1]}, had {max(v)}"
        for (topic, key), v in found.items()
        if v[-1] != max(v)
    ]
