"""One reading of a party's topics in a process of its own: how long, and how much more memory it holds after.

    python -m tests.bench.readers raw|kielto|faststream BOOTSTRAP PARTY LIMIT

Prints one JSON object. The clock starts when everything is imported, before the first connection.
"""

import asyncio
import gc
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

import faststream.kafka
from faststream import Context

from kielto import kafka
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane, permissions_of
from kielto.kafka import TopicPartition
from kielto.subscriber import MemoryStore, Subscriber

Figures = dict[str, float]


async def raw(bootstrap: str, party: str, _limit: int) -> Figures:
    """Both topics to their ends with our own consumer's settings; the records are counted and dropped."""
    family = permissions_of(party)
    places = [TopicPartition(family.topic(lane), p) for lane in Lane for p in range(PARTITIONS)]
    count = 0
    async with kafka.consumer(bootstrap) as consumer:
        consumer.assign(places)
        for place in places:
            consumer.seek(place, 0)
        missing = {place: end for place, end in (await kafka.end_offsets(consumer, places)).items() if end}
        while missing:
            for place, records in (await consumer.getmany(timeout_ms=500)).items():
                count += len(records)
                if records[-1].offset + 1 >= missing.get(place, 0):
                    missing.pop(place, None)
    return {"records": count}


async def kielto(bootstrap: str, party: str, _limit: int) -> Figures:
    """A subscriber from nothing to an open gate: the two beats it must wait for included."""
    async with Subscriber(
        subscriber="bench", party=party, bootstrap=bootstrap, point_keys={1: b"p" * 32}, store=MemoryStore()
    ) as subscriber:
        await subscriber.ready()
        figures = {"ready": time.perf_counter(), "customers": float(subscriber.count())}
        await asyncio.sleep(0.5)
        gc.collect()
        return figures | {"rss": _rss(), "peak": _peak()}


async def plain(bootstrap: str, party: str, limit: int) -> Figures:
    """What one writes first: a FastStream subscriber with a pydantic model, one message at a time, a dict."""
    broker = faststream.kafka.KafkaBroker(bootstrap, logger=None)
    family, state, done = permissions_of(party), dict[str, Permissions](), asyncio.Event()
    count = 0

    @broker.subscriber(*(family.topic(lane) for lane in Lane), auto_offset_reset="earliest", group_id=None)
    async def handle(record: Permissions, key: bytes = Context("message.raw_message.key")) -> None:
        nonlocal count
        held = state.get(record.subject)
        if held is None or held.at_version < record.at_version:
            state[record.subject] = record
        count += 1
        if count >= limit:
            done.set()

    async with broker:
        await broker.start()
        await done.wait()
    return {"records": count}


KINDS: dict[str, Callable[[str, str, int], Coroutine[None, None, Figures]]] = {
    "raw": raw,
    "kielto": kielto,
    "faststream": plain,
}


def _rss() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def main(kind: str, bootstrap: str, party: str, limit: str) -> None:
    logging.basicConfig(level=logging.ERROR)
    gc.collect()
    before, began = _rss(), time.perf_counter()
    figures: Figures = asyncio.run(KINDS[kind](bootstrap, party, int(limit)))
    took = figures.pop("ready", time.perf_counter()) - began
    grown = {
        "grown": figures.pop("rss", _rss()) - before,
        "peak_grown": figures.pop("peak", _peak()) - before,
    }
    print(json.dumps({"seconds": took, "cpu": time.process_time(), **grown, **figures}))


if __name__ == "__main__":
    main(*sys.argv[1:])
