"""Taking the messages of one topic into the database: effects and position in one transaction, or both not.

The position is moved first, which locks its row: of two processes that hold the same partition for a moment,
the second waits, finds the position moved, and does nothing. What can never be taken in goes to quarantine,
durably, before anything behind it, and denies its key; everything else that fails is left to the caller to
try again.
"""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeGuard, cast
from uuid import UUID

import asyncpg
import structlog

from kielto.events import control, envelope
from kielto.events.base import Event
from kielto.events.envelope import CE_SOURCE, Read, Unreadable
from kielto.events.records import Record
from kielto.events.topics import Topic
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.inbox import quarantine
from kielto.service.inbox.handlers import BatchHandler, Meta, PermanentError, Subscription
from kielto.service.support import metrics, tracing
from kielto.service.support.crypto_keys import MessageCipher

log = structlog.get_logger(__name__)

_FOREIGN = "ce_source: is not that of the topic's writer"
_CONTROL = (control.Beat, control.SnapshotComplete, control.Void)

_POSITIONS = 'SELECT topic, partition, topic_id, "offset" FROM positions WHERE topic = ANY($1::text[])'


async def positions(pool: Pool, topic_ids: Mapping[str, UUID]) -> dict[tuple[str, int], int]:
    """The next offset to read, by topic and partition. Positions in a deleted topic do not count."""
    rows = await pool.fetch(_POSITIONS, list(topic_ids))
    return {
        (row["topic"], row["partition"]): row["offset"]
        for row in rows
        if row["topic_id"] == topic_ids[row["topic"]]
    }


_LIFE = "SELECT pg_postmaster_start_time()"


async def life(pool: Pool) -> datetime:
    """What positions belong to: from one start of the server to the next. After it they may be those of a backup."""
    started: datetime = await pool.fetchval(_LIFE)
    return started


_STEP_OVER = """
INSERT INTO positions AS p (topic, partition, topic_id, "offset")
SELECT $1, $2, $3, $4 WHERE pg_postmaster_start_time() = $5
ON CONFLICT (topic, partition) DO UPDATE SET "offset" = excluded."offset"
WHERE p.topic_id = excluded.topic_id AND p."offset" < excluded."offset" AND p."offset" >= $6"""


async def step_over(
    pool: Pool, place: tuple[str, int, UUID], seen_from: int, end: int, life: datetime
) -> None:
    """Move the position of a topic, partition and topic id to `end`: no record stands from `seen_from` up to there.
    Not that of a restored database, which may be lower than what was seen.
    """
    await pool.execute(_STEP_OVER, *place, end, life, seen_from)


class DatabaseRestartedError(Exception):
    """PostgreSQL was restarted since the positions were loaded: read on from where they are now."""


# A restored database's positions are behind what a running consumer has read: it must not go on from there. What is
# taken in may be committed before the epoch is open, which it is not before all is taken in (`new_epoch.py`).
_MOVE = """
INSERT INTO positions AS p (topic, partition, topic_id, "offset")
SELECT $1, $2, $3, $4 WHERE pg_postmaster_start_time() = coalesce($5::timestamptz, pg_postmaster_start_time())
ON CONFLICT (topic, partition) DO UPDATE SET topic_id = excluded.topic_id, "offset" = excluded."offset"
WHERE p.topic_id <> excluded.topic_id OR p."offset" < excluded."offset"
RETURNING set_config('kielto.taking_in', 'on', true)"""

_LOCK = 'SELECT "offset" FROM positions WHERE topic = $1 AND partition = $2 AND topic_id = $3 FOR UPDATE'


class Intake:
    def __init__(self, pool: Pool, topic: Topic, subscription: Subscription, cipher: MessageCipher) -> None:
        self._pool, self._topic, self._subscription, self._cipher = pool, topic, subscription, cipher
        self._has_state = any(issubclass(carried, Record) for carried in topic.carries)
        self._source = f"urn:kielto:{topic.writer}"
        self.topic = topic.name
        self.topic_id = UUID(int=0)
        """Set before anything is read."""
        self.life: datetime | None = None
        """Of the positions that were sought; None: of any."""

    async def take(self, record: Any) -> None:
        """Process one message. Raises whatever is transient."""
        tracing.begin(_traceparent(record))
        meta, read = self._meta(record), self._read(record)
        if isinstance(read, Unreadable):
            await self._refuse(record, meta, read)
        elif isinstance(read, Read) and isinstance(read.event, control.Void):
            await self._void(read.event, meta)
        elif not _is_news(read):
            await self._moved(self._pool, meta)
        else:
            try:
                async with transaction(self._pool) as conn:
                    if await self._moved(conn, meta):
                        await self._subscription.handler.handle(conn, read, meta)
            except PermanentError as error:
                await self._refuse(record, meta, _refused(read, error), read.event, holds=error.holds)
            except asyncpg.DataError:  # as a NUL in a text: no later attempt stores it
                why = PermanentError("value: cannot be stored by the database")
                await self._refuse(record, meta, _refused(read, why), read.event)

    async def take_ahead(self, record: Any) -> None:
        """An urgent message of an open transaction, or behind one. The position is not moved: it comes again, and what
        cannot be taken in is kept then. Raises whatever is transient.
        """
        read, urgent = self._read(record), self._subscription.urgent
        if urgent is None or not isinstance(read, Read) or not urgent(read.event):
            return
        tracing.begin(_traceparent(record))
        with contextlib.suppress(PermanentError, asyncpg.DataError):
            async with transaction(self._pool) as conn:
                await self._subscription.handler.handle(conn, read, self._meta(record))

    async def take_batch(self, records: Sequence[Any]) -> None:
        """Process messages of one partition in one transaction. Raises whatever is transient."""
        handler = cast(BatchHandler, self._subscription.handler)
        try:
            async with transaction(self._pool) as conn:
                before = await self._batch_moved(conn, self._meta(records[0]), self._meta(records[-1]))
                fresh = [r for r in records if before is None or r.offset >= before]
                reads = [(record, self._read(record)) for record in fresh]
                good = [(read, self._meta(record)) for record, read in reads if _is_news(read)]
                if good:
                    await handler.handle_batch(conn, good)
                for record, read in reads:
                    if isinstance(read, Unreadable):
                        await self._quarantine(conn, record, self._meta(record), read)
        except (PermanentError, asyncpg.DataError):
            for record in records:  # one of them: the others must not go with it
                await self.take(record)

    async def _void(self, void: control.Void, meta: Meta) -> None:
        """They stand on restrictions topics, which are read one by one."""
        async with transaction(self._pool) as conn:
            if await self._moved(conn, meta):
                await quarantine.voided(conn, void.topic_id, void.partition, void.offset)

    async def _refuse(
        self, record: Any, meta: Meta, why: Unreadable, event: Event | None = None, *, holds: bool = True
    ) -> None:
        async with transaction(self._pool) as conn:
            if await self._moved(conn, meta):
                await self._quarantine(conn, record, meta, why, event, holds=holds)

    async def _quarantine(
        self,
        conn: Conn,
        record: Any,
        meta: Meta,
        why: Unreadable,
        event: Event | None = None,
        *,
        holds: bool = True,
    ) -> None:
        """What cannot be read may be anything, so it holds; but what was readable, and is no *no*."""
        holds = holds and not (why.reason == _FOREIGN and self._subscription.urgent is not None)
        keyless = self._has_state and why.key is None
        kept = quarantine.QuarantineReason(why.reason, keyless, holds, event)
        await quarantine.put(conn, self._cipher, record, meta, kept, self._subscription.holding)
        if self._has_state and why.key is not None and why.version is not None:
            await self._subscription.handler.deny(conn, why.key, why.version, why.reason, meta)
        metrics.QUARANTINED.labels(self._topic.name).inc()

    async def _moved(self, conn: "Conn | Pool", meta: Meta) -> bool:
        """Move the position behind this message; False when it was there already. Raises DatabaseRestartedError."""
        place = (meta.topic, meta.partition, meta.topic_id, meta.offset + 1)
        if await conn.fetchval(_MOVE, *place, self.life) is not None:
            return True
        if self.life is not None and await conn.fetchval(_LIFE) != self.life:
            raise DatabaseRestartedError
        return False

    async def _batch_moved(self, conn: Conn, first: Meta, last: Meta) -> int | None:
        """Move the position behind a batch; returns where it was. Everything below that was taken in before."""
        before = await conn.fetchval(_LOCK, first.topic, first.partition, first.topic_id)
        if not await self._moved(conn, last):
            return last.offset + 1
        return None if before is None else int(before)

    def _read(self, record: Any) -> envelope.Read | envelope.Tombstone | Unreadable | envelope.UnknownControl:
        """Who may write the topic is for the brokers to say; one who gives another name is mistaken at least. Only what
        is urgent, a *no*, is taken all the same: as the topic's writer's.
        """
        read = envelope.read(self._topic.carries, record.key, record.value, record.headers)
        if not isinstance(read, Read) or read.headers[CE_SOURCE] == self._source:
            return read
        if self._subscription.urgent is not None and self._subscription.urgent(read.event):
            at = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
            log.warning("message.foreign_source", **at)
            return read
        version = read.event.at_version if isinstance(read.event, Record) else None
        return Unreadable(_FOREIGN, read.key, version)

    def _meta(self, record: Any) -> Meta:
        return Meta(record.topic, self.topic_id, record.partition, record.offset, record.timestamp)


def _is_news(read: object) -> TypeGuard[Read]:
    """Neither a tombstone nor a control record. By its type: a report's key may begin with `!` too."""
    return isinstance(read, Read) and not isinstance(read.event, _CONTROL)


def _refused(read: Read, error: PermanentError) -> Unreadable:
    version = read.event.at_version if isinstance(read.event, Record) else None
    return Unreadable(error.reason, read.key, version)


def _traceparent(record: Any) -> str | None:
    for name, value in record.headers:
        if name == "traceparent" and value is not None:
            return bytes(value).decode("ascii", "replace")
    return None
