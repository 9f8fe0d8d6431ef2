"""Whatever stands in a topic, its readers get past it, within bounded memory.

aiokafka 0.14 decodes header names strictly while it hands out records, materialises a compressed batch whatever its
size, and raises for a codec that it does not know or a record that it reads otherwise than the broker does: each at
every attempt, so that whoever may write to a topic could stop its readers. `install()` has

- a record with a header's name that is no UTF-8 handed out with that name escaped and its value null, which
  `kielto.events.envelope` refuses like any null header;
- a batch whose records cannot be told apart (`parsing`), that cannot be decompressed, or not within `codecs.LIMIT`, and
  a record of a compressed batch above `RECORD` bytes handed out as a stand-in: one record at its offset (of a batch:
  its last) with the first bytes, their length and hash, which `kielto.events.envelope` refuses.

Part of the adapter, whose clients install it.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from kielto.events.envelope import CE_VERSION, MAX_KEY, UNDECODABLE
from kielto.kafka import codecs
from kielto.kafka.parsing import DAMAGED, HEADER, DamagedBatchError, parse

RECORD = 512 * 1024
"""Bytes of key, value and headers together: what a topic takes of an uncompressed batch."""
KEPT = 256
"""First bytes of what is not handed out."""
_CODEC = 0x07
_OVERHEAD, _LENGTH_AT, _ATTRIBUTES_AT = 12, 8, 21


def install() -> None:
    fetcher.MemoryRecords = GuardedRecords


@dataclass(frozen=True, slots=True)
class StandIn:
    """In place of what is not handed out; the attributes that aiokafka's fetcher reads of a record."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes | None]]
    checksum: None = field(default=None, init=False)


def _stand_in(batch: Any, code: str, content: bytes, **where: Any) -> StandIn:
    headers: list[tuple[str, bytes | None]] = [
        (UNDECODABLE, code.encode()),
        ("first-offset", str(where.pop("first", batch.base_offset)).encode()),
        ("length", str(len(content)).encode()),
        ("sha256", hashlib.sha256(content).hexdigest().encode()),
        *where.pop("headers", ()),
    ]
    where = {"offset": batch.next_offset - 1, "timestamp": batch.max_timestamp, "key": None} | where
    return StandIn(timestamp_type=batch.timestamp_type, value=content[:KEPT], headers=headers, **where)


class GuardedRecords:
    """In place of aiokafka's MemoryRecords: the batches of one fetch."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._inner, self._at = raw, MemoryRecords(raw), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def next_batch(self) -> "GuardedBatch | None":
        batch = self._inner.next_batch()
        if batch is None:
            return None
        begin = self._at
        self._at += _OVERHEAD + struct.unpack_from(">i", self._raw, begin + _LENGTH_AT)[0]
        return GuardedBatch(batch, self._raw, begin, self._at)


class GuardedBatch:
    def __init__(self, inner: Any, raw: bytes, begin: int, end: int) -> None:
        self._inner, self._raw, self._place = inner, raw, slice(begin, end)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __next__(self) -> Any:
        return next(self._inner)  # of a control batch, which is never compressed

    def __iter__(self) -> Iterator[Any]:
        if self._inner.magic < 2:
            yield from self._inner
            return
        if not self._inner.compression_type:
            yield from _records(self._inner, self._bytes)
            return
        try:
            plain = self._uncompressed()
        except codecs.UndecodableBatchError as error:
            yield _stand_in(self._inner, error.code, self._bytes()[HEADER:])
            return
        for record in _records(DefaultRecordBatch(plain), lambda: plain):
            yield record if _size(record) <= RECORD else self._above(record)

    def _bytes(self) -> bytes:
        return bytes(memoryview(self._raw)[self._place])

    def _uncompressed(self) -> bytes:
        """The same batch as its writer would have sent it without compression. Its checksum is no longer right;
        that of what came was verified before.
        """
        raw = self._bytes()
        content = codecs.decompress(raw[_ATTRIBUTES_AT + 1] & _CODEC, raw[HEADER:])
        header = bytearray(raw[:HEADER])
        struct.pack_into(">i", header, _LENGTH_AT, HEADER - _OVERHEAD + len(content))
        header[_ATTRIBUTES_AT + 1] &= ~_CODEC & 0xFF
        return bytes(header) + content

    def _above(self, record: Any) -> StandIn:
        """With its key and version, if it has any: so that it denies only what it is about."""
        key = record.key if record.key and len(record.key) <= MAX_KEY else None
        version = [(name, v) for name, v in record.headers if name == CE_VERSION and v and len(v) < KEPT]
        return _stand_in(
            self._inner,
            codecs.TOO_LARGE,
            record.value or b"",
            first=record.offset,
            offset=record.offset,
            timestamp=record.timestamp,
            key=key,
            headers=version[:1],
        )


def _size(record: Any) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers


def _records(batch: Any, raw: Callable[[], bytes]) -> Iterator[Any]:
    """Those of an uncompressed batch; `raw` gives its bytes. What was handed out comes again: the fetcher passes over
    offsets that it had. What cannot be told apart is one stand-in at the batch's last offset.
    """
    at = batch.base_offset
    try:
        for record in batch:
            if not at <= record.offset < batch.next_offset:
                raise DamagedBatchError
            at = record.offset + 1
            yield record
    except (DamagedBatchError, CorruptRecordException, UnicodeDecodeError):
        pass
    else:
        return
    try:
        yield from parse(raw(), batch)
    except DamagedBatchError:
        yield _stand_in(batch, DAMAGED, raw()[HEADER:])
