"""Read our own topics to their present ends: which epochs they hold, and what is ahead of the database."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from kielto import kafka
from kielto.events import control, envelope
from kielto.events.envelope import CE_VERSION, Read
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.events.versions import Version
from kielto.kafka import CLEAR, Security, TopicPartition

_BATCH = 2000
Since = Mapping[tuple[str, int], tuple[UUID, int]]
"""By topic and partition: its id, and the offset to read from. Of a topic with another id all is read."""
NOWHERE: Since = MappingProxyType({})


class ScannedRecord(NamedTuple):
    """A record of a topic. `key`: of a state record; None for all others."""

    family: Family
    record: Any
    key: str | None
    version: Version
    """The record's version; for a control record its epoch, with the term of a beat."""


async def entries(
    bootstrap: str, families: Iterable[Family], since: Since, *, security: Security = CLEAR
) -> AsyncIterator[list[ScannedRecord]]:
    """Batches, each partition in order. Raises one of kafka.DOWN."""
    topics = {family.topic(lane): family for family in families for lane in Lane}
    if not topics:
        return
    async with kafka.started(kafka.consumer(bootstrap, security=security)) as consumer:
        ids = await kafka.topic_ids(consumer, list(topics))
        places = [TopicPartition(topic, p) for topic in topics for p in range(PARTITIONS)]
        consumer.assign(places)
        ends = await kafka.end_offsets(consumer, places)
        begins = await consumer.beginning_offsets(places)
        for place in places:
            ident, offset = since.get((place.topic, place.partition), (None, 0))
            known = offset if ident == ids.get(place.topic) else 0
            consumer.seek(place, min(max(begins[place], known), ends[place]))
        left = {p for p in places if await consumer.position(p) < ends[p]}
        while left:
            polled = await consumer.getmany(timeout_ms=500, max_records=_BATCH)
            yield [_entry(topics[at.topic], record) for at, records in polled.items() for record in records]
            left = {place for place in left if await consumer.position(place) < ends[place]}


async def highest_epoch(
    bootstrap: str, families: Sequence[Family], since: Since = NOWHERE, *, security: Security = CLEAR
) -> int:
    """The highest epoch of any record or control record, readable or not; 0 when there is none."""
    highest = 0
    async for batch in entries(bootstrap, families, since, security=security):
        highest = max([highest, *(entry.version.epoch for entry in batch)])
    return highest


def decode(entry: ScannedRecord) -> Any:
    """What `envelope.read` makes of it."""
    record = entry.record
    return envelope.read((entry.family.record,), record.key, record.value, record.headers)


def _entry(family: Family, record: Any) -> ScannedRecord:
    """Read the entry from the headers alone, and the body of control records only: most of what is read is no news."""
    key = (record.key or b"").decode("ascii", "replace")
    if key.startswith("!"):
        return ScannedRecord(family, record, None, _of_control(family, record))
    if record.value is None or not envelope.is_own_key(family.record, key):
        return ScannedRecord(family, record, None, Version(0, 0))
    return ScannedRecord(family, record, key, _of_headers(record))


def _of_headers(record: Any) -> Version:
    for name, value in record.headers:
        if name == CE_VERSION:
            try:
                return Version.parse((value or b"").decode("ascii", "replace"))
            except ValueError:
                break
    return Version(0, 0)


def _of_control(family: Family, record: Any) -> Version:
    carries = (family.record, control.Beat, control.SnapshotComplete)
    read = envelope.read(carries, record.key, record.value, record.headers)
    match read:
        case Read(event=control.Beat() as beat):
            return Version(beat.epoch, beat.term)
        case Read(event=control.SnapshotComplete() as snapshot):
            return Version(snapshot.epoch, 0)
    return Version(0, 0)
