"""The relay: marked records a second from PostgreSQL to Kafka, beside a bare loop and two libraries, interleaved.

Each has the same messages to bring to topics of the same broker, from tables filled beforehand. Bare: fetch 1,000,
send each with aiokafka, wait for the answers, delete. Ours also reads state apart from marks, keeps the order of each
key, makes the event's headers, notes where every record stands in the log (half of every proof), and keeps its pace
limit out of the way by a high one.
"""

import asyncio
import json
import logging
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import asyncpg
import uvloop

from deploy.local.servers.stack import Stack
from kielto import kafka
from kielto.events.envelope import headers
from kielto.events.records import Permissions
from kielto.events.topics import Family, Lane, all_topics, permissions_of
from kielto.service.database import migrations
from kielto.service.outbox.heartbeats import BeatPlan
from kielto.service.outbox.relay import LaneRelay, RelaySettings

GOALS: dict[str, float] = {}
AT_LEAST = {"ours_to_bare": 0.5}
RECORDS = 20_000
FEWER = 3_000
"""For the libraries, which are slower; rates are compared."""
LIMIT = 1000

_FILL = """
INSERT INTO records (family, key, epoch, n, status, body)
SELECT $1, lpad(to_hex(g), 64, '0'), 1, 1, 'live', $2::json FROM generate_series(1, $3::int) g"""
_MARK = """
INSERT INTO marks (lane, family, key) SELECT 'bulk', $1, lpad(to_hex(g), 64, '0') FROM generate_series(1, $2::int) g"""
_BARE = """
CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text, headers text, value text)"""
_BARE_FILL = """
INSERT INTO outbox (key, headers, value) SELECT lpad(to_hex(g), 64, '0'), $1, $2 FROM generate_series(1, $3::int) g"""


def measure(rounds: int) -> dict[str, float]:
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="kielto-bench-") as name, Stack(Path(name)) as stack:
        return uvloop.run(_measure(stack, rounds))


async def _measure(stack: Stack, rounds: int) -> dict[str, float]:
    ways: dict[str, Callable[[Stack], Awaitable[float]]] = {
        "bare": _bare,
        "ours": _ours,
        "pgqueuer": _pgqueuer,
        "faststream_outbox": _faststream_outbox,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1, rounds + 1):
        for name, way in ways.items():
            rates[name].append(await way(stack))
        told = ", ".join(f"{name} {of[-1]:,.0f}/s" for name, of in rates.items())
        print(f"round {number} of {rounds}: {told}", file=sys.stderr)
    middle = {name: statistics.median(of) for name, of in rates.items()}
    ratios = [ours / bare for ours, bare in zip(rates["ours"], rates["bare"], strict=True)]
    return {f"{name}_per_second": round(rate) for name, rate in middle.items()} | {
        "ours_to_bare": round(statistics.median(ratios), 2),
        "ours_to_pgqueuer": round(middle["ours"] / middle["pgqueuer"], 2),
        "ours_to_faststream_outbox": round(middle["ours"] / middle["faststream_outbox"], 2),
    }


def _body() -> str:
    return json.dumps(
        {
            "recipient": "natural",
            "numbers": ["ab" * 32],
            "points": [
                {"point": "cd" * 32, "channel": channel, "allow": [{"purpose": "own_marketing"}]}
                for channel in ("email", "sms", "phone")
            ],
        }
    )


async def _family(stack: Stack) -> Family:
    """Topics of its own for each run, so that nobody's log is longer than another's."""
    family = permissions_of(f"company.b{secrets.token_hex(4)}")
    topics = [t for t in all_topics([family.name]) if t.name in (family.bulk, family.express)]
    await kafka.create_topics(stack.kafka.bootstrap, topics)
    return family


def _database(stack: Stack) -> str:
    return stack.postgres.create_database(f"bench_{secrets.token_hex(4)}")


async def _ours(stack: Stack) -> float:
    dsn, family = _database(stack), await _family(stack)
    await migrations.migrate(dsn, None)
    conn = await asyncpg.connect(dsn)
    await conn.execute("INSERT INTO epoch (epoch) VALUES (1)")
    await conn.execute(_FILL, family.name, _body(), RECORDS)
    await conn.execute(_MARK, family.name, RECORDS)
    await conn.execute("ANALYZE")
    settings = RelaySettings(
        "bench", dsn, stack.kafka.bootstrap, (family,), BeatPlan(seconds=10), bulk_rate=10_000_000
    )
    relay = LaneRelay(Lane.BULK, settings)
    running = asyncio.create_task(relay.run())
    try:
        return await _rate(conn, "marks", RECORDS)
    finally:
        relay.stop()
        await running
        await conn.close()


async def _bare(stack: Stack) -> float:
    dsn, family = _database(stack), await _family(stack)
    conn = await asyncpg.connect(dsn)
    await conn.execute(_BARE)
    names = headers(Permissions.type_name(), key="0" * 64, source="consents", version="1.1", ident=uuid4())
    as_text = json.dumps([(name, value.decode()) for name, value in names])
    await conn.execute(_BARE_FILL, as_text, _body(), RECORDS)
    await conn.execute("ANALYZE")
    producer = kafka.producer(stack.kafka.bootstrap)
    await producer.start()
    began = time.perf_counter()
    while rows := await conn.fetch("SELECT id, key, headers, value FROM outbox ORDER BY id LIMIT $1", LIMIT):
        sent = [
            await producer.send(
                family.bulk,
                row["value"].encode(),
                key=row["key"].encode(),
                headers=[(name, value.encode()) for name, value in json.loads(row["headers"])],
            )
            for row in rows
        ]
        await asyncio.gather(*sent)
        await conn.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [row["id"] for row in rows])
    rate = RECORDS / (time.perf_counter() - began)
    await producer.stop()
    await conn.close()
    return rate


async def _pgqueuer(stack: Stack) -> float:
    from pgqueuer import AsyncpgDriver, Job, PgQueuer, Queries

    dsn, family = _database(stack), await _family(stack)
    conn = await asyncpg.connect(dsn)
    queries = Queries(AsyncpgDriver(conn))
    await queries.install()
    await queries.enqueue(["relay"] * FEWER, [_body().encode()] * FEWER, [0] * FEWER)
    producer = kafka.producer(stack.kafka.bootstrap)
    await producer.start()
    watching = await asyncpg.connect(dsn)
    queuer = PgQueuer(AsyncpgDriver(conn))
    done = 0
    over = asyncio.Event()

    @queuer.entrypoint("relay")
    async def relay(job: Job) -> None:
        nonlocal done
        await producer.send_and_wait(family.bulk, job.payload, key=str(job.id).encode())
        done += 1
        if done == FEWER:
            over.set()

    began = time.perf_counter()
    running = asyncio.create_task(queuer.run(batch_size=500))
    await asyncio.wait_for(over.wait(), 120)
    rate = FEWER / (time.perf_counter() - began)
    queuer.shutdown.set()
    with suppress(asyncio.TimeoutError, asyncio.CancelledError):
        await asyncio.wait_for(running, 15)
    await producer.stop()
    await watching.close()
    return rate


async def _faststream_outbox(stack: Stack) -> float:
    from faststream.kafka import KafkaBroker
    from faststream_outbox import OutboxBroker, make_outbox_table
    from sqlalchemy import MetaData
    from sqlalchemy.ext.asyncio import create_async_engine

    dsn, family = _database(stack), await _family(stack)
    metadata = MetaData()
    table = make_outbox_table(metadata, table_name="outbox")
    engine = create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"), pool_size=25)
    outbox = OutboxBroker(engine, outbox_table=table, logger=None)
    broker = KafkaBroker(stack.kafka.bootstrap, logger=None)
    publisher = broker.publisher(family.bulk, key=b"0" * 64)  # a compacted topic takes no null keys

    @publisher
    @outbox.subscriber("relay", max_workers=20, fetch_batch_size=500)
    async def relay(body: dict) -> dict:  # type: ignore[type-arg]
        return body

    async with engine.begin() as session:
        await session.run_sync(metadata.create_all)
        await outbox.publish_batch(*[json.loads(_body())] * FEWER, queue="relay", session=session)
    conn = await asyncpg.connect(dsn)
    await broker.start()
    began = time.perf_counter()
    await outbox.start()
    try:
        return await _rate(conn, "outbox", FEWER, began)
    finally:
        await outbox.stop()
        await broker.stop()
        await conn.close()
        await engine.dispose()


async def _rate(
    conn: "asyncpg.Connection[asyncpg.Record]", table: str, count: int, began: float | None = None
) -> float:
    """Rows a second until the table is empty; from the first look at which one was gone, if no begin is given."""
    seen, first = count, began
    async with asyncio.timeout(180):
        while True:
            left = await conn.fetchval(f"SELECT count(*) FROM {table}")
            now = time.perf_counter()
            if began is None and first is None and left < count:
                first, seen = now, left
            if left == 0:
                return (seen if began is None else count) / (now - (first or now - 1e-9))
            await asyncio.sleep(0.01)
