"""Messages that can never be taken in: kept as they came, listed, and after a repair replayed or
discarded.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from kielto.events import envelope
from kielto.events.topics import Topic
from kielto.service.inbox import Meta, Permanent, Subscription
from kielto.service.postgres import Conn, Pool, transaction


class Absent(Exception):
    """There is no such open message here, or nobody reads its topic."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One row, without its content."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    state: str
    at: datetime


async def put(conn: Conn, record: Any, meta: Meta, reason: str, *, keyless: bool, holds: bool) -> None:
    """Keep the message; once, however often it comes. `holds`: see Permanent."""
    headers = [(name, _text(value)) for name, value in record.headers]
    await conn.execute(
        _PUT,
        meta.topic,
        meta.topic_id,
        meta.partition,
        meta.offset,
        meta.timestamp_ms,
        record.key,
        orjson.dumps(headers).decode(),
        record.value,
        reason,
        keyless,
        holds,
    )


async def voided(conn: Conn, topic_id: UUID, partition: int, offset: int) -> None:
    """Its writer has published again whatever that record, whose key nobody can read, may have hidden."""
    await conn.execute(_VOIDED, topic_id, partition, offset)


async def listed(pool: Pool, state: str = "open") -> list[Kept]:
    rows = await pool.fetch(_LIST, state)
    return [Kept(**row) for row in rows]


async def discard(pool: Pool, ident: int) -> bool:
    """False when there is no such open row."""
    return await pool.fetchval(_CLOSE, ident, "discarded") is not None


async def replay(
    pool: Pool, ident: int, topics: Mapping[str, Topic], subscriptions: Sequence[Subscription]
) -> None:
    """Hand the message to its handler again; closed only when that succeeds. The position is not touched.

    Raises Absent when there is no such open row or nobody reads its topic, Permanent when it still
    cannot be taken in.
    """
    async with transaction(pool) as conn:
        row = await conn.fetchrow(_OPEN, ident)
        if row is None:
            raise Absent(f"{ident}: no such open message")
        handler = next((s.handler for s in subscriptions if s.topic == row["topic"]), None)
        if handler is None:
            raise Absent(f"{row['topic']}: is not read by this service")
        headers = [(name, _bytes(value)) for name, value in orjson.loads(row["headers"])]
        read = envelope.read(topics[row["topic"]].carries, row["key"], row["value"], headers)
        if not isinstance(read, envelope.Read):
            raise Permanent(read.reason if isinstance(read, envelope.Unreadable) else "holds no message")
        topic_id: UUID = row["topic_id"]
        meta = Meta(row["topic"], topic_id, row["partition"], row["offset"], row["timestamp_ms"])
        await handler.handle(conn, read, meta)
        await conn.execute(_CLOSE, ident, "replayed")


def _text(value: bytes | None) -> str | None:
    """A header's bytes may be anything: base64."""
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


_PUT = """
INSERT INTO quarantine
    (topic, topic_id, partition, "offset", timestamp_ms, key, headers, value, reason, keyless, holds, state)
SELECT $1::text, $2::uuid, $3::integer, $4::bigint, $5, $6, $7::json, $8, $9, $10, $11,
    CASE WHEN EXISTS (SELECT FROM voided WHERE topic_id = $2 AND partition = $3 AND "offset" = $4)
        THEN 'discarded' ELSE 'open' END
ON CONFLICT (topic, topic_id, partition, "offset") DO NOTHING"""

_LIST = """
SELECT id, topic, partition, "offset", reason, state, at FROM quarantine WHERE state = $1 ORDER BY id"""

_OPEN = "SELECT * FROM quarantine WHERE id = $1 AND state = 'open' FOR UPDATE"

_VOIDED = """
WITH remembered AS (
    INSERT INTO voided (topic_id, partition, "offset") VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
)
UPDATE quarantine SET state = 'discarded'
WHERE topic_id = $1 AND partition = $2 AND "offset" = $3 AND keyless AND state = 'open'"""

_CLOSE = "UPDATE quarantine SET state = $2 WHERE id = $1 AND state = 'open' RETURNING 1"
