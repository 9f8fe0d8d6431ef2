"""The partition of a key, and where partitions end."""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition

_SEED, _M, _MASK = 0x9747B28C, 0x5BD1E995, 0xFFFFFFFF
_POLLS, _POLL_MS = 10, 100


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives: murmur2 with the sign bit cleared, modulo `partitions`.

    It is Kafka's Utils.murmur2, word by word. aiokafka's goes byte by byte and takes three times as long, which would
    be most of what the relay spends on a record. A test compares the two.
    """
    words = len(key) >> 2
    h = _SEED ^ len(key)
    for k in struct.unpack_from(f"<{words}I", key):
        k = (k * _M) & _MASK
        h = ((h * _M) ^ ((k ^ (k >> 24)) * _M)) & _MASK
    if tail := key[words * 4 :]:
        h = ((h ^ int.from_bytes(tail, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return ((h ^ (h >> 15)) & 0x7FFFFFFF) % partitions


async def end_offsets(client: Any, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The next offset to be written in each partition, as of after this call began. Raises one of DOWN."""
    return dict(await client.end_offsets(list(partitions)))


async def stepped_over(
    client: Any, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Find offsets without a record: transaction markers, aborted records, and records that compaction removed.

    A client gets nothing for them, so a position of "the last record plus one" stays below the end of the partition
    for ever. Ask here before comparing a position with an end.

    Returns the partitions that have no record for `client` from the position up to the end, with the offset up to
    which that was verified (at least the end). Partitions that were not read within about a second are left out.

    `client` is a started consumer without a group that nobody else uses; it loses its assignment. Raises one of
    kafka.DOWN, or KafkaError.
    """
    left = {place for place, end in ends.items() if positions[place] < end}
    empty: dict[TopicPartition, int] = {}
    if not left:
        return empty
    client.assign(list(left))
    for place in left:  # nothing may be awaited between assignment and seek
        client.seek(place, positions[place])
    try:
        for _ in range(_POLLS):
            with_records = await client.getmany(*left, timeout_ms=_POLL_MS, max_records=1)
            left -= with_records.keys()
            for place in list(left):
                if (at := await client.position(place)) >= ends[place]:
                    empty[place] = at
                    left.discard(place)
            if not left:
                break
    finally:
        client.unsubscribe()
    return empty
