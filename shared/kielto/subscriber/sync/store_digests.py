"""Answers `!reconcile` requests: digests of the store by bucket, and listings of buckets.

They are computed from the store itself, so that rows changed by hand are found. Positions are read first, so that what
is applied meanwhile lies above them and is not compared.
"""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from kielto import kafka
from kielto.events.base import Event
from kielto.events.control import BUCKETS, Reconcile
from kielto.events.messages import StoreDigest, StoreListing
from kielto.subscriber.stores import rows as stored
from kielto.subscriber.stores.base import Store, StoreMark
from kielto.subscriber.support.brokers import Brokers, ThrottledLog
from kielto.subscriber.sync.acks import AckSender
from kielto.subscriber.sync.reading import Following
from kielto.subscriber.sync.session import Committed, Session

log = logging.getLogger(__name__)
LISTED = 1000
"""Rows in one message."""
MOST = 20_000
"""Rows listed for one request; consents requests the remaining buckets again."""
_AT_ONCE = 2000
"""Rows to hash before yielding to the event loop."""
_MODULUS = 1 << 64
RETRY_SECONDS = 0.5
_FIRST_BITS = 54  # of a key's first 64 bits, the bucket is what stands above these


def hashed(key: str, version: str, value: bytes = b"") -> bytes:
    """The hash of one record, as `StoreDigest` defines it."""
    return hashlib.sha256(f"{key[:24]} {version} ".encode() + value).digest()[:8]


@runtime_checkable
class Beside(Protocol):
    """A store that can be read while it is written to."""

    def beside(self) -> Any: ...


class Digests:
    """Answers the newest request to this subscriber, one at a time."""

    def __init__(
        self, brokers: Brokers, sender: AckSender, store: Store, session: Session, following: Following
    ) -> None:
        self._brokers, self._sender, self._store, self._session = brokers, sender, store, session
        self._following = following
        self._question: Reconcile | None = None
        self._news = asyncio.Event()

    def asked(self, questions: Iterable[Reconcile]) -> None:
        for question in questions:
            if question.subscriber == self._sender.subscriber:
                self._question = question
                self._news.set()

    async def run(self) -> None:
        warnings = ThrottledLog(log)
        while True:
            await self._news.wait()
            self._news.clear()
            assert self._question is not None
            try:
                await self._answer(self._question)
            except (*kafka.DOWN, kafka.KafkaError) as error:
                warnings.warn("digests not sent; trying again: %s", type(error).__name__)
                self._news.set()
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - it must not end the session; consents asks again
                log.warning("digests not sent: %s", type(error).__name__)

    async def _answer(self, question: Reconcile) -> None:
        async with self._brokers.producer() as producer:
            await self._following.verify(producer)
            async with self._contents() as contents:
                async for message in self._messages(question, contents):
                    await self._sender.send(producer, message)

    @contextlib.asynccontextmanager
    async def _contents(self) -> "AsyncIterator[_ImageContents | _TableContents]":
        if not isinstance(self._store, Beside):
            yield _ImageContents(self._session)
            return
        async with self._store.beside() as (connection, schema):
            row = await connection.fetchrow(_sql(_VIEW, schema))
            state = stored.read_state(row["positions"], row["state"])
            yield _TableContents(connection, schema, Committed.of(StoreMark(row["generation"], 0), state))

    async def _messages(
        self, question: Reconcile, contents: "_ImageContents | _TableContents"
    ) -> AsyncIterator[Event]:
        held = contents.committed
        common = {
            "subscriber": self._sender.subscriber,
            "instance": self._sender.instance,
            "generation": held.mark.generation,
            "ask": question.ask,
            "content": isinstance(contents, _TableContents),
            "positions": self._sender.positions(held.topics, held.positions),
        }
        if not question.buckets:
            digests = "".join(f"{one % _MODULUS:016x}" for one in await contents.sums())
            yield StoreDigest(**common, digests=digests)
            return
        left = MOST
        async for bucket, rows in contents.rows(question.buckets):
            if (left := left - len(rows)) < 0 and bucket != question.buckets[0]:
                return
            for message in _listings(common, bucket, rows):
                yield message


def _listings(common: dict[str, Any], bucket: int, rows: list[str]) -> Iterable[StoreListing]:
    rows, after = sorted(rows), ""
    for start in range(0, max(1, len(rows)), LISTED):
        portion = tuple(rows[start : start + LISTED])
        upto = portion[-1][:24] if start + LISTED < len(rows) else ""
        yield StoreListing(**common, bucket=bucket, after=after, upto=upto, rows=portion)
        after = upto


class _TableContents(NamedTuple):
    connection: Any
    schema: str
    committed: Committed

    async def sums(self) -> list[int]:
        sums = [0] * BUCKETS
        for bucket, total in await self.connection.fetch(_sql(_SUMS, self.schema)):
            sums[bucket] = int(total)
        return sums

    async def rows(self, buckets: Sequence[int]) -> AsyncIterator[tuple[int, list[str]]]:
        for bucket in buckets:
            rows = await self.connection.fetch(_sql(_ROWS, self.schema), *range_of(bucket))
            yield bucket, [f"{key} {version} {hash_.hex()}" for key, version, hash_ in rows]


def range_of(bucket: int) -> tuple[str, str]:
    """The range of a bucket's keys: at least the first text, and before the second."""
    return f"{bucket << 2:03x}", f"{(bucket + 1) << 2:03x}" if bucket + 1 < BUCKETS else "g"


class _ImageContents:
    def __init__(self, session: Session) -> None:
        self.committed, self._image = session.committed, session.follower.image

    async def _chunks(self) -> AsyncIterator[range]:
        """Yield all rows, and the event loop between chunks of them."""
        for start in range(0, len(self._image), _AT_ONCE):
            yield range(start, min(start + _AT_ONCE, len(self._image)))
            await asyncio.sleep(0)

    def _bucket(self, row: int) -> int:
        return self._image.ident(row)[0] >> _FIRST_BITS

    def _hashed(self, row: int) -> tuple[str, bytes]:
        """Key and version of a row as text, and its hash."""
        hi, lo = self._image.ident(row)
        key = f"{hi:016x}{lo:08x}"
        version = f"{self._image.version(row)}{'u' if self._image.unreadable(row) else ''}"
        return f"{key} {version}", hashed(key, version)

    async def sums(self) -> list[int]:
        sums = [0] * BUCKETS
        sha, image = hashlib.sha256, self._image
        async for chunk in self._chunks():
            for row in chunk:  # `_hashed` inline: a quarter less time for all rows of the store
                (hi, lo), (epoch, n) = image.ident(row), image.version(row)
                text = f"{hi:016x}{lo:08x} {epoch}.{n}{'u' if image.unreadable(row) else ''} "
                sums[hi >> _FIRST_BITS] += int.from_bytes(sha(text.encode()).digest()[:8])
        return sums

    async def rows(self, buckets: Sequence[int]) -> AsyncIterator[tuple[int, list[str]]]:
        found: dict[int, list[str]] = {bucket: [] for bucket in buckets}
        async for chunk in self._chunks():
            for row in chunk:
                if (bucket := self._bucket(row)) in found:
                    text, hash_ = self._hashed(row)
                    found[bucket].append(f"{text} {hash_.hex()}")
        for bucket in buckets:
            yield bucket, found[bucket]


def _sql(text: str, schema: str) -> str:
    """Fill in `schema`, which PostgresStore has checked to be a plain identifier."""
    return text.format(hashed=_HASHED.format(schema=schema), schema=schema)


_VIEW = "SELECT generation, positions, state FROM {schema}.store"

# Only keys of 64 hexadecimal digits are ids; others cannot be looked up.
_HASHED = """
SELECT id, epoch || '.' || n || CASE WHEN unreadable THEN 'u' ELSE '' END AS version, substr(sha256(convert_to(
    substr(id, 1, 24) || ' ' || epoch || '.' || n || CASE WHEN unreadable THEN 'u ' ELSE ' ' END, 'UTF8')
    || coalesce(record, '')), 1, 8) AS hash
FROM {schema}.records WHERE id ~ '^[0-9a-f]{{64}}$'"""

_SUMS = """
SELECT ('x' || substr(id, 1, 3))::bit(12)::integer >> 2,
    sum(('x' || encode(hash, 'hex'))::bit(64)::bigint)
FROM ({hashed}) AS h GROUP BY 1"""

_ROWS = "{hashed} AND id >= $1 AND id < $2"
