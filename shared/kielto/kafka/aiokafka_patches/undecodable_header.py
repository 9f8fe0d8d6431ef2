"""Lets a consumer read past any record or batch, within bounded memory.

aiokafka 0.14 raises at every attempt for a header name that is not UTF-8, for an unknown codec, and for a record that
it parses otherwise than the broker does, and it decompresses a batch of any size. So anybody who may write to a topic
could stop its readers. With this patch the consumer returns

- a record with a header name that is not UTF-8 with that name escaped and its value null;
- one replacement record for a batch that cannot be parsed (`parsing`), or not decompressed within `codecs.LIMIT`, at
  the last offset of the batch; and one for each record above `RECORD` bytes in a compressed batch. It has the first
  bytes of the content, its length and its hash.

`kielto.events.envelope` reads both as unreadable. `kielto.kafka.clients` calls `install`.
"""

import hashlib
import struct
from collections.abc import Callable, Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from kielto.events.envelope import CE_VERSION, MAX_KEY, UNDECODABLE
from kielto.kafka import codecs
from kielto.kafka.parsing import DAMAGED, HEADER, DamagedBatchError, PlainRecord, parse

RECORD = 512 * 1024
"""The largest record of a compressed batch: bytes of key, value and headers. Topics have the same limit for a batch."""
KEPT = 256
"""How many bytes of the content a replacement record has."""
_CODEC = 0x07
_OVERHEAD, _LENGTH_AT, _ATTRIBUTES_AT = 12, 8, 21


def install() -> None:
    fetcher.MemoryRecords = GuardedRecords


def _stand_in(batch: Any, code: str, content: bytes, **where: Any) -> PlainRecord:
    """The record that is handed out in place of `content`."""
    headers: list[tuple[str, bytes | None]] = [
        (UNDECODABLE, code.encode()),
        ("first-offset", str(where.pop("first", batch.base_offset)).encode()),
        ("length", str(len(content)).encode()),
        ("sha256", hashlib.sha256(content).hexdigest().encode()),
        *where.pop("headers", ()),
    ]
    where = {"offset": batch.next_offset - 1, "timestamp": batch.max_timestamp, "key": None} | where
    return PlainRecord(timestamp_type=batch.timestamp_type, value=content[:KEPT], headers=headers, **where)


class GuardedRecords:
    """The batches of one fetch. Replaces aiokafka's MemoryRecords."""

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
        """Return the batch as if its writer had not compressed it. Its checksum is wrong; that of the compressed
        batch was verified before.
        """
        raw = self._bytes()
        content = codecs.decompress(raw[_ATTRIBUTES_AT + 1] & _CODEC, raw[HEADER:])
        header = bytearray(raw[:HEADER])
        struct.pack_into(">i", header, _LENGTH_AT, HEADER - _OVERHEAD + len(content))
        header[_ATTRIBUTES_AT + 1] &= ~_CODEC & 0xFF
        return bytes(header) + content

    def _above(self, record: Any) -> PlainRecord:
        """The replacement for a large record. It has the record's key and version, so that only this key is denied."""
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
    """Yield the records of an uncompressed batch; `raw` returns its bytes. If aiokafka's parser fails, ours begins
    again with the first record: the fetcher skips offsets that it had. If ours fails too, one replacement follows.
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
