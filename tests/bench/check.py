"""A million checks in one batch: the gate's columns, a join in PostgreSQL, SMISMEMBER of Redis, on the same
customers and questions.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.servers.stack import Stack, prepare
from kielto.events.party import Party
from kielto.events.topics import PARTITIONS, Lane
from kielto.kafka import partition_of
from kielto.subscriber import Channel, Purpose, Question
from kielto.subscriber.columnar.arrays import Column, Split
from kielto.subscriber.columnar.batch_decode import Tables
from kielto.subscriber.columnar.hash_index import Index
from kielto.subscriber.columnar.table import Image
from kielto.subscriber.gate.gate import CODES, FollowedParty, Gate
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.gate.questions import Reason
from kielto.subscriber.records.decode import Decoder
from kielto.subscriber.replica.follower import Follower
from kielto.subscriber.replica.state import Snapshot
from tests.bench import customers
from tests.bench.redis_server import Redis, available

GOALS = {"bytes_per_customer": 72.0}
AT_LEAST = {"times_sql_join": 100.0, "times_redis": 10.0}
QUESTION = Question(Purpose.OWN_MARKETING, Channel.EMAIL)
UNKNOWN = 10
"""One in so many questions is about nobody."""


class _Record:
    def __init__(self, message: customers.BenchMessage, offset: int) -> None:
        self.key, self.value, self.headers = message.key, message.value, tuple(message.headers)
        self.partition, self.offset = partition_of(message.key, PARTITIONS), offset


class _OpenFollower(Follower):
    """Beats and probes are no part of this."""

    def gate(self, partition: int, now: float) -> None:
        return None


def measure(rounds: int, count: int = 1_000_000) -> dict[str, float]:
    prepare()
    follower = _fill(count)
    dice = random.Random(7)
    asked = [dice.randrange(count) + (count if dice.randrange(UNKNOWN) == 0 else 0) for _ in range(count)]
    ids = [customers.ident(number) for number in asked]
    allowed = [customers.ident(number) for number in range(count) if customers.allowed(number)]
    gate = Gate(FollowedParty(Party("company.bench"), {1: b"p" * 32}), follower, Denials("bench"))
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "stack") as stack:
        return asyncio.run(_compare(rounds, gate, follower, ids, allowed, stack, Path(folder)))


def _fill(count: int) -> Follower:
    follower = _OpenFollower(30.0, durable=False)
    tables = Tables(Decoder(follower.image.shapes))
    waiting: dict[Lane, list[_Record]] = {lane: [] for lane in Lane}
    for number in range(count):
        for message in customers.messages(number):
            waiting[message.lane].append(_Record(message, number))
        if number % 10_000 == 9_999 or number == count - 1:
            for lane, records in waiting.items():
                block, items = tables.read(tables.see(records))
                if block is not None:
                    follower.read_block(lane, block)
                follower.read(lane, items)
                records.clear()
        if number % 100_000 == 99_999:
            print(f"{number + 1:,} customers in memory", file=sys.stderr, flush=True)
    snapshot = Snapshot(1, 1, begin_express=0, begin_bulk=0)
    follower.state.snapshots.update(dict.fromkeys(range(PARTITIONS), snapshot))  # a sweep is looked for
    follower.image.holders(0)  # the index of points too
    return follower


async def _compare(
    rounds: int,
    gate: Gate,
    follower: Follower,
    ids: list[bytes],
    allowed: list[bytes],
    stack: Stack,
    folder: Path,
) -> dict[str, float]:
    connection = await asyncpg.connect(stack.postgres.create_database("bench"))
    await connection.execute(
        "CREATE TABLE allowed (purpose text, channel text, id bytea, PRIMARY KEY (purpose, channel, id))"
    )
    rows = [("own_marketing", "email", one) for one in allowed]
    await connection.copy_records_to_table("allowed", records=rows)
    await connection.execute("ANALYZE allowed")
    joined, yes = b"".join(ids), CODES.index(Reason.ALLOWED)
    times: dict[str, list[float]] = {"kielto": [], "sql": [], "redis": []}

    async def sql() -> set[int]:
        return {row[0] - 1 for row in await connection.fetch(_JOIN, ids, "own_marketing", "email")}

    with Redis(folder, allowed) as redis:
        for number in range(1, rounds + 1):
            mine = _timed(times["kielto"], lambda: gate.may_customers(QUESTION, joined))
            began = time.perf_counter()
            theirs = await sql()
            times["sql"].append(time.perf_counter() - began)
            found = {at for at, code in enumerate(mine) if code == yes}
            assert found == theirs, "PostgreSQL says something else"
            if available():
                others = _timed(times["redis"], lambda: redis.ask(ids))
                assert others == bytes(at in found for at in range(len(ids))), "Redis says something else"
            print(f"round {number} of {rounds}", file=sys.stderr, flush=True)
    await connection.close()
    by_id, others = _sizes(follower.image)
    figures = {
        "checks_per_second": round(len(ids) / statistics.median(times["kielto"])),
        "sql_per_second": round(len(ids) / statistics.median(times["sql"])),
        "times_sql_join": _ratio(times["sql"], times["kielto"]),
        "bytes_per_customer": round((by_id + others) / len(follower.image), 1),
        "bytes_without_points": round(by_id / len(follower.image), 1),
    }
    if times["redis"]:
        figures["redis_per_second"] = round(len(ids) / statistics.median(times["redis"]))
        figures["times_redis"] = _ratio(times["redis"], times["kielto"])
    return figures


def _sizes(image: Image) -> tuple[int, int]:
    """Bytes of what is read to answer by a customer's id, and of the rest."""
    by_id: list[Column | Split | Index] = [
        image._hi,
        image._lo,
        image._kind,
        *image._seen.values(),
        image._ids,
    ]
    others: list[Column | Split | Index] = [image._n, image._first, image._hashes, image._points]
    return sum(map(_nbytes, by_id)), sum(map(_nbytes, others))


def _nbytes(part: Column | Split | Index) -> int:
    match part:
        case Column():
            return len(part) * part.cells.itemsize
        case Split():
            return _nbytes(part._lower) + _nbytes(part._above)
        case Index():
            return part._tags.nbytes + _nbytes(part._rows)


def _timed(times: list[float], work: Callable[[], Any]) -> Any:
    began = time.perf_counter()
    result = work()
    times.append(time.perf_counter() - began)
    return result


def _ratio(theirs: list[float], ours: list[float]) -> float:
    """The median of the rounds' own ratios: what disturbs a round disturbs both."""
    return round(statistics.median(a / b for a, b in zip(theirs, ours, strict=True)), 1)


_JOIN = """
SELECT q.n FROM unnest($1::bytea[]) WITH ORDINALITY AS q (id, n)
JOIN allowed a ON a.id = q.id AND a.purpose = $2 AND a.channel = $3
"""
