"""The floor of a ban's way: the same steps with nothing around them. Three processes, as the product has.

    python -m tests.bench.propagation_bare api|relay|followers FILE

api: a raw HTTP answer after INSERT of the fact, its state and an outbox row, with NOTIFY, in one transaction.
relay: LISTEN, read, send, delete. followers: five consumers, each with an UPSERT and its position in one transaction.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import asyncpg
import uvloop

from kielto import kafka

TABLES = """
CREATE TABLE IF NOT EXISTS facts (id text PRIMARY KEY, body text NOT NULL);
CREATE TABLE IF NOT EXISTS states (
    topic text, key text, n bigint NOT NULL, body text NOT NULL, PRIMARY KEY (topic, key));
CREATE TABLE IF NOT EXISTS outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, topic text, key text);
"""
STORE = """
CREATE TABLE IF NOT EXISTS rows (key text PRIMARY KEY, n bigint NOT NULL, body text NOT NULL);
CREATE TABLE IF NOT EXISTS place (partition int PRIMARY KEY, upto bigint NOT NULL);
"""
_STATE = """
WITH s AS (
    INSERT INTO states SELECT unnest($1::text[]), $2, 1, $3
    ON CONFLICT (topic, key) DO UPDATE SET n = states.n + 1, body = excluded.body RETURNING topic, key
), o AS (INSERT INTO outbox (topic, key) SELECT topic, key FROM s RETURNING id)
SELECT pg_notify('bare', '') FROM o LIMIT 1"""
_UPSERT = """
INSERT INTO rows VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET n = excluded.n, body = excluded.body
WHERE rows.n < excluded.n"""
_PLACE = "INSERT INTO place VALUES ($1, $2) ON CONFLICT (partition) DO UPDATE SET upto = excluded.upto"
_READ = """
SELECT o.id, s.topic, s.key, s.n, s.body FROM outbox o JOIN states s USING (topic, key) ORDER BY o.id LIMIT 500"""


async def api(plan: dict[str, Any]) -> None:
    pool = await asyncpg.create_pool(plan["dsn"], min_size=4, max_size=10)
    topics = sorted({one["topic"] for one in plan["followers"]})

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(
                    next(h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length")).split(
                        b":"
                    )[1]
                )
                body = (await reader.readexactly(length)).decode()
                key = json.loads(body)["key"]
                async with pool.acquire() as conn, conn.transaction():
                    await conn.execute("INSERT INTO facts VALUES ($1, $2)", key, body)
                    await conn.fetchval(_STATE, topics, key, body)
                writer.write(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}")
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", plan["port"])
    await server.serve_forever()


async def relay(plan: dict[str, Any]) -> None:
    conn = await asyncpg.connect(plan["dsn"])
    producer = kafka.producer(plan["bootstrap"])
    await producer.start()
    wake = asyncio.Event()
    await conn.add_listener("bare", lambda *_: wake.set())
    while True:
        wake.clear()
        rows = await conn.fetch(_READ)
        if not rows:
            await wake.wait()
            continue
        sent = [
            await producer.send(r["topic"], r["body"].encode(), key=f"{r['key']}:{r['n']}".encode())
            for r in rows
        ]
        await asyncio.gather(*sent)
        await conn.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [r["id"] for r in rows])


async def followers(plan: dict[str, Any]) -> None:
    with open(plan["times"], "w") as out:  # noqa: ASYNC230
        async with asyncio.TaskGroup() as tasks:
            for one in plan["followers"]:
                tasks.create_task(_follow(plan["bootstrap"], one, out))


async def _follow(bootstrap: str, one: dict[str, Any], out: Any) -> None:
    conn = await asyncpg.connect(one["dsn"])
    await conn.execute(STORE)
    consumer = kafka.consumer(bootstrap)
    await consumer.start()
    places = [kafka.TopicPartition(one["topic"], p) for p in range(6)]
    consumer.assign(places)
    for place in places:
        consumer.seek(place, 0)
    while True:
        for place, records in (await consumer.getmany(timeout_ms=500)).items():
            keys = []
            async with conn.transaction():
                for record in records:
                    key, _, n = record.key.decode().rpartition(":")
                    await conn.execute(_UPSERT, key, int(n), record.value.decode())
                    keys.append(key)
                await conn.execute(_PLACE, place.partition, records[-1].offset + 1)
            now = time.monotonic()
            for key in keys:
                out.write(json.dumps([one["id"], key, now]) + "\n")
            out.flush()


def main() -> None:
    part, file = sys.argv[1:]
    plan = json.loads(Path(file).read_text())
    uvloop.run({"api": api, "relay": relay, "followers": followers}[part](plan))


if __name__ == "__main__":
    main()
