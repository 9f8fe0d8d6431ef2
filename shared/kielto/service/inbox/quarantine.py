"""Messages that cannot be processed: kept encrypted, listed without content, and later replayed or discarded.

The content is deleted when the row is closed, and after a time in any case; the row stays.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from kielto.errors import KieltoError
from kielto.events import envelope
from kielto.events.base import MAX_BYTES, Event
from kielto.events.topics import Topic
from kielto.service.database.pool import Conn, Pool, in_transaction
from kielto.service.inbox.handlers import Holding, Meta, PermanentError, Subscription
from kielto.service.support.crypto_keys import Keys, MessageCipher

_FIRST_BYTES = 256
_ATTEMPTS = 20
DAYS = 90


class NotQuarantinedError(KieltoError):
    """There is no such open message, or this service does not read its topic."""


@dataclass(frozen=True, slots=True)
class QuarantinedMessage:
    """One row, without its content."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    state: str
    at: datetime
    holds: bool


@dataclass(frozen=True, slots=True)
class QuarantineReason:
    """`keyless`: its key cannot be read, on a topic with state. `holds`: see Permanent. `event`: what was read, if it
    could be."""

    reason: str
    keyless: bool
    holds: bool
    event: Event | None = None


_PUT = """
INSERT INTO quarantine (topic, topic_id, partition, "offset", timestamp_ms, content, reason, keyless, holds, customer,
    state, closed_at)
SELECT $1::text, $2::uuid, $3::integer, $4::bigint, $5, CASE WHEN gone THEN NULL ELSE $6::bytea END, $7, $8, $9, $10,
    CASE WHEN gone THEN 'discarded' ELSE 'open' END, CASE WHEN gone THEN now() END
FROM (SELECT EXISTS (SELECT FROM voided WHERE topic_id = $2 AND partition = $3 AND "offset" = $4) AS gone) AS v
ON CONFLICT (topic, topic_id, partition, "offset") DO NOTHING
RETURNING state"""


async def put(
    conn: Conn,
    cipher: MessageCipher,
    record: Any,
    meta: Meta,
    why: QuarantineReason,
    holding: Holding | None = None,
) -> None:
    """Store the message, once, however often it comes. The customer it may be about is denied while it is open."""
    customer = None
    if why.holds and holding is not None:
        customer = await holding.customer(conn, _ascii(record.key))
    encrypted = cipher.encrypt(_packed(record), _place(meta.topic, meta.partition, meta.offset))
    place = (meta.topic, meta.topic_id, meta.partition, meta.offset, meta.timestamp_ms)
    kept = await conn.fetchval(_PUT, *place, encrypted, why.reason, why.keyless, why.holds, customer)
    if kept == "open" and customer is not None and holding is not None:
        await holding.compute_anew(conn, customer)
    if kept is not None and holding is not None:
        await holding.tell(conn, why.event, why.reason, meta)


_VOIDED = """
WITH remembered AS (
    INSERT INTO voided (topic_id, partition, "offset") VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
)
UPDATE quarantine SET state = 'discarded', content = NULL, closed_at = now()
WHERE topic_id = $1 AND partition = $2 AND "offset" = $3 AND keyless AND state = 'open'"""


async def voided(conn: Conn, topic_id: UUID, partition: int, offset: int) -> None:
    """Note that the writer published again whatever this record, whose key is unreadable, may have hidden."""
    await conn.execute(_VOIDED, topic_id, partition, offset)


_FORGET = "UPDATE quarantine SET content = NULL WHERE content IS NOT NULL AND at < now() - $1::interval"


async def forget(pool: Pool, days: float = DAYS) -> None:
    """Delete the content of messages older than `days`; those can then only be discarded."""
    await pool.execute(_FORGET, timedelta(days=days))


_LIST = """
SELECT id, topic, partition, "offset", reason, state, at, holds FROM quarantine
WHERE state = $1 AND starts_with(topic, $2) AND id > $3 ORDER BY id LIMIT $4"""

_OPEN = "SELECT * FROM quarantine WHERE id = $1 AND state = 'open' AND starts_with(topic, $2) FOR UPDATE"

_CLOSE = """
UPDATE quarantine SET state = $2, closed_by = $3, note = $4, content = NULL, closed_at = now() WHERE id = $1"""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """The quarantine of one service. `party`, if given, limits a call to the topics of that party.

    `begin_again`: the errors by which its handlers say that another transaction was quicker; the call is then repeated.
    """

    pool: Pool
    keys: Keys
    topics: Mapping[str, Topic]
    subscriptions: Sequence[Subscription]
    begin_again: tuple[type[Exception], ...] = ()

    async def listed(
        self, state: str = "open", *, party: str | None = None, after: int = 0, limit: int = 1000
    ) -> list[QuarantinedMessage]:
        """The open messages behind the id `after`, the oldest first."""
        rows = await self.pool.fetch(_LIST, state, _prefix(party), after, limit)
        return [QuarantinedMessage(**row) for row in rows]

    async def discard(
        self, ident: int, *, by: str, note: str | None = None, party: str | None = None
    ) -> None:
        """Raises NotQuarantinedError when there is no such open row."""

        async def work(conn: Conn) -> None:
            row = await self._open(conn, ident, party)
            await self._close(conn, row, "discarded", by, note)

        await self._committed(work)

    async def replay(self, ident: int, *, by: str, note: str | None = None, party: str | None = None) -> None:
        """Give the message to its handler again, and close it if that succeeds. The position is not moved.

        Raises NotQuarantinedError when there is no such open row or nobody reads its topic, PermanentError when it
        still cannot be processed.
        """

        async def work(conn: Conn) -> None:
            row = await self._open(conn, ident, party)
            subscription = self._subscription(row["topic"])
            if subscription is None:
                raise NotQuarantinedError(
                    f"{row['topic']}: is not read by this service; replay it where it is"
                )
            if row["content"] is None:
                raise PermanentError("content: was deleted after its time; discard the message")
            place = _place(row["topic"], row["partition"], row["offset"])
            key, headers, value = _unpacked(self.keys.message_cipher.decrypt(row["content"], place))
            read = envelope.read(self.topics[row["topic"]].carries, key, value, headers)
            if not isinstance(read, envelope.Read):
                raise PermanentError(
                    read.reason if isinstance(read, envelope.Unreadable) else "holds no message"
                )
            meta = Meta(row["topic"], row["topic_id"], row["partition"], row["offset"], row["timestamp_ms"])
            await subscription.handler.handle(conn, read, meta)
            await self._close(conn, row, "replayed", by, note)

        await self._committed(work)

    async def _committed(self, work: Callable[[Conn], Awaitable[None]]) -> None:
        """Run `work` in a transaction; again when another transaction changed what it works on."""
        try:
            await in_transaction(self.pool, work, retry_on=self.begin_again, attempts=_ATTEMPTS)
        except self.begin_again:
            raise TimeoutError("the customers concerned keep changing; try again") from None

    async def _open(self, conn: Conn, ident: int, party: str | None) -> Any:
        row = await conn.fetchrow(_OPEN, ident, _prefix(party))
        if row is None:
            raise NotQuarantinedError(f"message {ident}: is not open in quarantine: see `quarantine list`")
        return row

    async def _close(self, conn: Conn, row: Any, state: str, by: str, note: str | None) -> None:
        await conn.execute(_CLOSE, row["id"], state, by, note)
        subscription = self._subscription(row["topic"])
        if row["customer"] is not None and subscription is not None and subscription.holding is not None:
            await subscription.holding.compute_anew(conn, row["customer"])

    def _subscription(self, topic: str) -> Subscription | None:
        return next((s for s in self.subscriptions if s.topic == topic), None)


def _prefix(party: str | None) -> str:
    return f"{party}." if party else ""


def _place(topic: str, partition: int, offset: int) -> str:
    return f"{topic}/{partition}@{offset}"


def _ascii(key: bytes | None) -> str | None:
    return key.decode("ascii") if key and key.isascii() else None


def _packed(record: Any) -> bytes:
    """JSON; bytes may be anything: base64. Of a value that no message may have, the first bytes, length and hash."""
    value, headers = record.value, list(record.headers)
    if value is not None and len(value) > MAX_BYTES:
        headers[:0] = [
            (envelope.UNDECODABLE, b"too-large"),
            ("length", str(len(value)).encode()),
            ("sha256", hashlib.sha256(value).hexdigest().encode()),
        ]
        value = value[:_FIRST_BYTES]
    return orjson.dumps([_text(record.key), [(name, _text(v)) for name, v in headers], _text(value)])


def _unpacked(content: bytes) -> tuple[bytes | None, list[tuple[str, bytes | None]], bytes | None]:
    """Key, headers, value."""
    key, headers, value = orjson.loads(content)
    return _bytes(key), [(name, _bytes(v)) for name, v in headers], _bytes(value)


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
