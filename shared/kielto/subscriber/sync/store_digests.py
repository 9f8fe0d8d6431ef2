"""Answers `!reconcile` requests: digests of the store by bucket, and listings of buckets.

They are computed from the store itself, so that rows changed by hand are found. Positions are read first, so that what
is applied meanwhile lies above them and is not compared.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from kielto import kafka
from kielto.events.base import Event
from kielto.events.control import BUCKETS, Reconcile
from kielto.events.envelope import encode
from kielto.events.messages import Position, StoreDigest, StoreListing
from kielto.events.topics import Lane
from kielto.subscriber.columnar.table import Image
from kielto.subscriber.stores import rows as stored
from kielto.subscriber.stores.base import Store
from kielto.subscriber.support.not_ready import Telling
from kielto.subscriber.sync.acks import AckSender
from kielto.subscriber.sync.session import Session

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


class DigestRow(NamedTuple):
    key: str
    """The whole key, or its first 24 digits."""
    version: str
    """`<epoch>.<n>`, with `u` if the store holds it as unreadable."""
    hash: bytes

    def text(self) -> str:
        return f"{self.key} {self.version} {self.hash.hex()}"


class StoreView(NamedTuple):
    """One state of the store."""

    generation: UUID
    topics: dict[Lane, UUID]
    positions: dict[tuple[Lane, int], int]
    content: bool


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
        self,
        bootstrap: str,
        sender: AckSender,
        store: Store,
        session: Session,
        verify: Callable[[Any], Awaitable[None]],
        *,
        security: kafka.Security = kafka.CLEAR,
    ) -> None:
        self._bootstrap, self._sender, self._store, self._session = bootstrap, sender, store, session
        self._verify, self._security = verify, security
        self._question: Reconcile | None = None
        self._news = asyncio.Event()

    def asked(self, questions: Iterable[Reconcile]) -> None:
        for question in questions:
            if question.subscriber == self._sender.subscriber:
                self._question = question
                self._news.set()

    async def run(self) -> None:
        telling = Telling(log)
        while True:
            await self._news.wait()
            self._news.clear()
            assert self._question is not None
            try:
                await self._answer(self._question)
            except (*kafka.DOWN, kafka.KafkaError) as error:
                telling.warn("digests not sent; trying again: %s", type(error).__name__)
                self._news.set()
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as error:  # noqa: BLE001 - it must not end the session; consents asks again
                log.warning("digests not sent: %s", type(error).__name__)

    async def _answer(self, question: Reconcile) -> None:
        async with kafka.started(
            kafka.producer(self._bootstrap, security=self._security), kafka.abort
        ) as producer:
            await self._verify(producer)
            async for message in self.answers(question):
                key = f"{self._sender.subscriber}/{self._sender.instance}"
                sent = encode(message, key=key, source=self._sender.party)
                await producer.send_and_wait(
                    self._sender.topic, sent.value, key=sent.key, headers=sent.headers
                )

    async def answers(self, question: Reconcile) -> AsyncIterator[Event]:
        if isinstance(self._store, Beside):
            async with self._store.beside() as (connection, schema):
                view = await _view_of_table(connection, schema)
                if not question.buckets:
                    yield self._digest(question, view, await _sums_of_table(connection, schema))
                    return
                left = MOST
                for bucket in question.buckets:
                    rows = await _rows_of_table(connection, schema, bucket)
                    if (left := left - len(rows)) < 0 and bucket != question.buckets[0]:
                        return
                    for message in self._listings(question, view, bucket, rows):
                        yield message
            return
        committed = self._session.committed
        view = StoreView(committed.mark.generation, committed.topics, committed.positions, False)
        image = self._session.follower.image
        if not question.buckets:
            yield self._digest(question, view, await sums_of_image(image))
            return
        found, left = await _rows_of_image(image, set(question.buckets)), MOST
        for bucket in question.buckets:
            if (left := left - len(found[bucket])) < 0 and bucket != question.buckets[0]:
                return
            for message in self._listings(question, view, bucket, found[bucket]):
                yield message

    def _common(self, question: Reconcile, view: StoreView) -> dict[str, Any]:
        topics = self._sender.followed
        return {
            "subscriber": self._sender.subscriber,
            "instance": self._sender.instance,
            "generation": view.generation,
            "ask": question.ask,
            "content": view.content,
            "positions": tuple(
                Position(topic=topics[lane], topic_id=view.topics[lane], partition=partition, offset=offset)
                for (lane, partition), offset in sorted(view.positions.items())
            ),
        }

    def _digest(self, question: Reconcile, view: StoreView, sums: Sequence[int]) -> StoreDigest:
        digests = "".join(f"{one % _MODULUS:016x}" for one in sums)
        return StoreDigest(**self._common(question, view), digests=digests)

    def _listings(
        self, question: Reconcile, view: StoreView, bucket: int, rows: list[DigestRow]
    ) -> Iterable[StoreListing]:
        rows, after = sorted(rows), ""
        for start in range(0, max(1, len(rows)), LISTED):
            portion = rows[start : start + LISTED]
            upto = portion[-1].key[:24] if start + LISTED < len(rows) else ""
            yield StoreListing(
                **self._common(question, view),
                bucket=bucket,
                after=after,
                upto=upto,
                rows=tuple(row.text() for row in portion),
            )
            after = upto


# -- of a table


async def _view_of_table(connection: Any, schema: str) -> StoreView:
    row = await connection.fetchrow(_sql(_VIEW, schema))
    state = stored.read_state(row["positions"], row["state"])
    return StoreView(row["generation"], state.topics, state.positions, True)


async def _sums_of_table(connection: Any, schema: str) -> list[int]:
    sums = [0] * BUCKETS
    for bucket, total in await connection.fetch(_sql(_SUMS, schema)):
        sums[bucket] = int(total)
    return sums


async def _rows_of_table(connection: Any, schema: str, bucket: int) -> list[DigestRow]:
    low, high = range_of(bucket)
    rows = await connection.fetch(_sql(_ROWS, schema), low, high)
    return [DigestRow(key, version, hash_) for key, version, hash_ in rows]


def range_of(bucket: int) -> tuple[str, str]:
    """The range of a bucket's keys: at least the first text, and before the second."""
    return f"{bucket << 2:03x}", f"{(bucket + 1) << 2:03x}" if bucket + 1 < BUCKETS else "g"


# -- of memory


async def sums_of_image(image: Image) -> list[int]:
    sums = [0] * BUCKETS
    sha, unreadable = hashlib.sha256, image.unreadable
    for start in range(0, len(image), _AT_ONCE):
        for row in range(start, min(start + _AT_ONCE, len(image))):
            (hi, lo), (epoch, n) = image.ident(row), image.version(row)
            text = f"{hi:016x}{lo:08x} {epoch}.{n}{'u' if unreadable(row) else ''} "
            sums[hi >> _FIRST_BITS] += int.from_bytes(sha(text.encode()).digest()[:8])
        await asyncio.sleep(0)
    return sums


async def _rows_of_image(image: Image, buckets: set[int]) -> dict[int, list[DigestRow]]:
    found: dict[int, list[DigestRow]] = {bucket: [] for bucket in buckets}
    for start in range(0, len(image), _AT_ONCE):
        for row in range(start, min(start + _AT_ONCE, len(image))):
            hi, lo = image.ident(row)
            if (bucket := hi >> _FIRST_BITS) in buckets:
                key = f"{hi:016x}{lo:08x}"
                version = f"{image.version(row)}{'u' if image.unreadable(row) else ''}"
                found[bucket].append(DigestRow(key, version, hashed(key, version)))
        await asyncio.sleep(0)
    return found


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
