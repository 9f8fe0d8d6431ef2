"""From nothing to an open gate: a party's permissions read from Kafka into memory, beside a raw read of the same
topics and a default FastStream subscriber. Each reading is a process of its own.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.servers.stack import Stack, prepare
from kielto import kafka
from tests.bench import customers
from tests.integration.subscriber.relay import HandDrivenRelay

GOALS = {"times_raw": 2.5, "grown_mb": 100.0}
AT_LEAST = {"times_faststream": 8.0}
PARTY = "company.bench"
SHARE = 20
"""FastStream reads one in so many of the records, and its time is taken that many times: it is linear."""
READING_SECONDS = 900


def measure(rounds: int, count: int = 1_000_000) -> dict[str, float]:
    prepare()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), postgres={"fsync": "off"}) as stack:
        return asyncio.run(_measure(stack.kafka.bootstrap, rounds, count))


async def _measure(bootstrap: str, rounds: int, count: int) -> dict[str, float]:
    async with HandDrivenRelay(bootstrap, PARTY) as relay:
        begin = await relay.ends()
        producer = kafka.producer(bootstrap)
        await producer.start()
        records = await customers.write(producer, relay.family, count)
        await producer.stop()
        await relay.finish(begin)
        readings: dict[str, list[dict[str, float]]] = {"raw": [], "kielto": [], "faststream": []}
        for number in range(1, rounds + 1):
            for kind, read in readings.items():
                limit = max(1, records // SHARE) if kind == "faststream" else records
                read.append(await asyncio.to_thread(_reading, kind, bootstrap, limit))
            took = ", ".join(f"{kind} {read[-1]['seconds']:.1f} s" for kind, read in readings.items())
            print(
                f"round {number} of {rounds}: {took} (faststream: 1/{SHARE} of it)",
                file=sys.stderr,
                flush=True,
            )
    return _figures(readings, records, count)


def _reading(kind: str, bootstrap: str, limit: int) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.readers", kind, bootstrap, PARTY, str(limit)],
        check=True,
        stdout=subprocess.PIPE,
        timeout=READING_SECONDS,
    )
    told: dict[str, float] = json.loads(done.stdout)
    return told


def _figures(readings: dict[str, list[dict[str, float]]], records: int, count: int) -> dict[str, float]:
    raw, ours, plain = readings["raw"], readings["kielto"], readings["faststream"]
    assert {read["customers"] for read in ours} == {count}
    scaled = [p["seconds"] * records / p["records"] for p in plain]
    return {
        "records": records,
        "seconds": _median([o["seconds"] for o in ours]),
        "raw_seconds": _median([r["seconds"] for r in raw]),
        "faststream_seconds": _median(scaled),
        "times_raw": _median([o["seconds"] / r["seconds"] for o, r in zip(ours, raw, strict=True)]),
        "times_raw_cpu": _median([o["cpu"] / r["cpu"] for o, r in zip(ours, raw, strict=True)]),
        "times_faststream": _median([p / o["seconds"] for o, p in zip(ours, scaled, strict=True)]),
        "grown_mb": _median([o["grown"] / 1e6 for o in ours]),
        "peak_grown_mb": _median([o["peak_grown"] / 1e6 for o in ours]),
    }


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 2)
