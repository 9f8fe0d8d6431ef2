"""Offsets without a record: transaction markers, aborted records, what compaction took away.

No client is handed anything for them, so a position that is "the last record plus one" stays below the end of the
partition for ever. Whoever compares a position with an end asks here first.
"""

from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition

_POLLS, _POLL_MS = 10, 100


async def stepped_over(
    client: Any, positions: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """The partitions in which no record that `client` may read stands from the position up to the end, with the
    offset up to which that was seen: at least the end. One that was not read in about a second is left out.

    `client` is a started consumer without a group that nobody else reads from; its assignment is lost. Raises one of
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
