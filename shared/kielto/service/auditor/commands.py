"""Commands of the auditor: one whole pass over our own topics, and a void that an operator asks for."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias
from uuid import UUID

from kielto import kafka
from kielto.events.topics import PARTITIONS, Family, Lane
from kielto.service.auditor import log_pass, store, voids
from kielto.service.auditor.rules import LogPlace
from kielto.service.database import pool as postgres
from kielto.service.database.pool import Pool
from kielto.service.support.settings import ServiceSettings

Command: TypeAlias = Callable[[Sequence[str]], Awaitable[int]]

_RATE = 20_000


def commands(settings: ServiceSettings, pool: Pool, families: Sequence[Family]) -> dict[str, Command]:
    """By their first word, for a service that writes these families."""

    async def run_audit(arguments: Sequence[str]) -> int:
        return await audit(settings, families) if not arguments else _usage()

    async def run_void(arguments: Sequence[str]) -> int:
        match arguments:
            case [topic, partition, offset] if partition.isdigit() and offset.isdigit():
                return await void(settings, pool, families, topic, int(partition), int(offset))
        return _usage()

    return {"audit": run_audit, "void": run_void} if families else {}


def _usage() -> int:
    print("usage: audit | void TOPIC PARTITION OFFSET")
    return 2


# Tables of the session's own under the same names, which hide the auditor's: the pass begins from nothing and disturbs
# nobody, while its findings and repairs are kept where all are.
_OWN_TABLES = """
CREATE TEMP TABLE audit (LIKE audit INCLUDING ALL);
CREATE TEMP TABLE audit_positions (LIKE audit_positions INCLUDING ALL)"""


async def audit(settings: ServiceSettings, families: Sequence[Family]) -> int:
    """Read all of our own topics from their beginning, then compare all records with them; prints what is
    not repaired. 1 when there is anything.
    """
    conn = await postgres.connect(settings.postgres_dsn, name="audit", command_timeout=600)
    try:
        await conn.execute(_OWN_TABLES)
        await conn.execute(log_pass.BY_INDEX)
        client = kafka.consumer(settings.kafka_bootstrap, security=settings.security)
        async with kafka.started(client) as consumer:
            await _whole_pass(log_pass.LogPass(conn, consumer, families, rate=_RATE), conn, consumer)
        rows = await store.list_open(conn)
    finally:
        conn.terminate()
    for row in rows:
        place = f"{row['topic']}/{row['partition']}@{row['offset']}"
        print(f"{row['at']:%Y-%m-%dT%H:%M:%SZ}\t{row['kind']}\t{place}\t{row['reason']}")
    print(f"{len(rows)} findings are not repaired", file=sys.stderr)
    return 1 if rows else 0


async def _whole_pass(pass_: log_pass.LogPass, conn: store.Conn, consumer: Any) -> None:
    walk = await pass_.begin()
    await pass_.look()  # what was deleted below the begin of a partition will not come
    ends = await pass_.ends()
    while left := pass_.left(ends):
        _progress(f"{left} records to be read")
        await pass_.take()
    while not walk.whole or walk.waits:
        _progress("comparing with the database")
        await walk.step(conn, consumer, pass_.positions)
        if walk.waits:
            await pass_.take()
    _progress("")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


async def void(
    settings: ServiceSettings, pool: Pool, families: Sequence[Family], topic: str, partition: int, offset: int
) -> int:
    """Queue a void of this record; the auditor publishes everything of its partition again, then the void."""
    family = next((f for f in families if topic in (f.bulk, f.express)), None)
    if family is None:
        names = sorted({f.topic(lane) for f in families for lane in Lane})
        print(f"not a topic that this service writes; those are: {', '.join(names)}")
        return 1
    if partition >= PARTITIONS or offset >= 2**63:
        print(f"partition: is below {PARTITIONS}; offset: below 2^63")
        return 1
    topic_id = await _topic_id(settings, topic)
    if topic_id is None:
        print(f"{topic}: is not there")
        return 1
    queued = await voids.queue(pool, LogPlace(family, topic, topic_id, partition, offset))
    print("queued" if queued else "was queued before")
    return 0


async def _topic_id(settings: ServiceSettings, topic: str) -> UUID | None:
    client = kafka.consumer(settings.kafka_bootstrap, security=settings.security)
    async with asyncio.timeout(15), kafka.started(client) as consumer:
        return (await kafka.topic_ids(consumer, [topic])).get(topic)
