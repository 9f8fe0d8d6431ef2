"""Looks for planted personal data where none may ever be: keys, headers, logs, metrics, traces.

Values may carry what a company is entitled to; keys and headers, and whatever operators read, may not.
"""

import base64
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kielto import kafka


@dataclass(frozen=True, slots=True)
class LeakFinding:
    """Where a planted value was found, in which spelling."""

    place: str
    spelling: str


def spellings(planted: str) -> set[bytes]:
    """The value as it might leak: as typed, lower case, digits only, percent-encoded, base64, hexadecimal."""
    texts = {
        planted,
        planted.lower(),
        planted.upper(),
        urllib.parse.quote(planted),
        urllib.parse.quote_plus(planted),
    }
    digits = re.sub(r"\D", "", planted)
    if len(digits) >= 8:
        texts |= {digits, digits.lstrip("0"), "+358" + digits.lstrip("0")}
    raw = {t.encode() for t in texts}
    return raw | {base64.b64encode(r).rstrip(b"=") for r in raw} | {r.hex().encode() for r in raw}


def search(place: str, content: bytes, planted: Iterable[str]) -> Iterator[LeakFinding]:
    lowered = content.lower()
    for value in planted:
        for spelling in spellings(value):
            if spelling.lower() in lowered:
                yield LeakFinding(place, spelling.decode(errors="replace"))


def scan_logs(folder: Path, planted: Iterable[str]) -> list[LeakFinding]:
    """Every file below `folder` with the ending .log or .jsonl."""
    files = [f for f in folder.rglob("*") if f.suffix in (".log", ".jsonl") and f.is_file()]
    assert files, f"no logs to scan in {folder.name}"
    return [found for f in files for found in search(f"log {f.name}", f.read_bytes(), planted)]


async def scan_topics(
    bootstrap: str, topics: Iterable[str], planted: Iterable[str]
) -> tuple[list[LeakFinding], int]:
    """Keys and headers of every message; returns the findings and how many messages were read."""
    consumer = kafka.consumer(bootstrap)
    await consumer.start()
    findings: list[LeakFinding] = []
    count = 0
    try:
        partitions = [
            kafka.TopicPartition(t, p) for t in topics for p in (consumer.partitions_for_topic(t) or range(6))
        ]
        consumer.assign(partitions)
        ends = await kafka.end_offsets(consumer, partitions)
        for partition in partitions:
            consumer.seek(partition, 0)
        waiting = {p for p in partitions if ends[p] > 0}
        while waiting:
            for partition, records in (await consumer.getmany(timeout_ms=1000, max_records=5000)).items():
                for record in records:
                    count += 1
                    content = (
                        (record.key or b"")
                        + b"\n"
                        + b"\n".join(k.encode() + b":" + (v or b"") for k, v in record.headers)
                    )
                    findings += search(f"topic {partition.topic}", content, planted)
            waiting = {p for p in waiting if await consumer.position(p) < ends[p]}
    finally:
        await consumer.stop()
    return findings, count
