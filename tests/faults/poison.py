"""What nobody should ever write, written to the topics that a company's systems and consents read."""

import json
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg

from kielto import kafka
from kielto.events.envelope import headers
from kielto.events.messages import Decision
from kielto.events.records import Permissions
from kielto.events.topics import PARTITIONS, Lane, decisions, permissions_of
from tests.faults.world import FaultWorld

PARTY = "company.kauppa"
_A_RECORD = (
    "SELECT key, epoch, n FROM records WHERE family = $1 AND status = 'live' ORDER BY key OFFSET $2 LIMIT 1"
)


async def value(world: FaultWorld, rng: random.Random) -> None:
    """A record of a known key, at its own version, whose value is no JSON."""
    connection = await asyncpg.connect(world.services.dsns["consents"])
    try:
        row = await connection.fetchrow(_A_RECORD, PARTY, rng.randrange(100))
    finally:
        await connection.close()
    assert row is not None  # customers are brought before anything breaks
    version = f"{row['epoch']}.{row['n']}"
    names = headers(Permissions.type_name(), key=row["key"], source="consents", version=version)
    topic = permissions_of(PARTY).topic(rng.choice(list(Lane)))
    partition = kafka.partition_of(row["key"].encode(), PARTITIONS)
    await _send(world, topic, row["key"].encode(), b"{\x00 no JSON", names, partition)


async def key(world: FaultWorld, rng: random.Random) -> None:
    """A record whose key is none of ours: nobody knows whom it is about."""
    topic = permissions_of(PARTY).topic(rng.choice(list(Lane)))
    await _send(world, topic, b"\xff\xfe", b"{}", [], rng.randrange(PARTITIONS))


async def decision(world: FaultWorld, rng: random.Random) -> None:
    """A company's decision that nobody can understand."""
    names = headers(Decision.type_name(), key="x", source=PARTY)
    await _send(world, decisions(PARTY), b"x", b'{"act": 17}', names)


async def oversized(world: FaultWorld, rng: random.Random) -> None:
    """Above what a message may have, and below what the broker refuses."""
    names = headers(Decision.type_name(), key="x", source=PARTY)
    await _send(world, decisions(PARTY), b"x", b'"' + b"x" * 400_000 + b'"', names)


async def older_schema(world: FaultWorld, rng: random.Random) -> None:
    """A ban by a system of another release: with a field that we do not know, and without all that has a default."""
    customer = world.ident(PARTY, uuid4())
    body = older_ban(customer)
    names = headers(Decision.type_name(), key=customer, source=PARTY)
    await _send(world, decisions(PARTY), customer.encode(), json.dumps(body).encode(), names)


def older_ban(customer: str) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "act": "ban",
        "subject": {"id": customer},
        "said_at": datetime.now(UTC).isoformat(),
        "from_another_release": {"nested": [1, 2, 3]},
    }


KINDS: dict[str, Callable[[FaultWorld, random.Random], Awaitable[None]]] = {
    "value": value,
    "key": key,
    "decision": decision,
    "oversized": oversized,
    "older_schema": older_schema,
}


async def _send(
    world: FaultWorld,
    topic: str,
    name: bytes,
    content: bytes,
    names: list[tuple[str, bytes]],
    partition: int | None = None,
) -> None:
    producer = kafka.producer(world.stack.kafka.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(topic, content, key=name, headers=names, partition=partition)
    finally:
        await producer.stop()
