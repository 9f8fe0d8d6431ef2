"""Offsets without a record: transaction markers, aborted records, and records that compaction removed.

A client gets nothing for them, so a position of "the last record plus one" stays below the end of the partition for
ever. So ask `stepped_over` before comparing a position with an end.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

_POLLS, _POLL_MS = 10, 100


async def stepped_over(
    client: Any, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Partitions that have no record for `client` from the position up to the end, with the offset up to which that was
    verified (at least the end). Partitions that were not read within about a second are left out.

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
