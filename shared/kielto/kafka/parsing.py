"""Parses the records of an uncompressed batch as Kafka's Java client does, and never reads beyond the batch.

aiokafka 0.14 reads the attributes of a record as a number of any length, though they are one byte. So it may misread
what follows, and its Python parser then reads beyond its buffer, which ends the process. This parser is slower, and is
used only for batches on which the fast one fails. Source: kafka.apache.org, "Record" (v2).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

HEADER = 61
DAMAGED = "damaged"
ESCAPED = "\\x"
_COUNT = struct.Struct(">i")
_COUNT_AT = 57
_LONGEST = 10  # bytes of a number of 64 bits


class DamagedBatchError(Exception):
    """The rest of the batch cannot be parsed."""


@dataclass(frozen=True, slots=True)
class PlainRecord:
    """A record with the attributes that aiokafka's fetcher reads."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    checksum: None = field(default=None, init=False)


def parse(raw: bytes, batch: Any) -> Iterator[PlainRecord]:
    """Yield the records of `raw`; `batch` has its header. A header name that is not UTF-8 is escaped, its value null.

    Raises DamagedBatchError.
    """
    (count,) = _COUNT.unpack_from(raw, _COUNT_AT)
    reader = _Reader(raw, HEADER)
    for _ in range(count):
        length = reader.number()
        end = reader.at + length
        reader.take(1)  # attributes: none are in use
        delta, place = reader.number(), reader.number()
        key, value = reader.nullable(), reader.nullable()
        headers = [_header(reader) for _ in range(reader.size())]
        offset = batch.base_offset + place
        if reader.at != end or not batch.base_offset <= offset < batch.next_offset:
            raise DamagedBatchError
        timestamp = batch.max_timestamp if batch.timestamp_type else batch.first_timestamp + delta
        yield PlainRecord(offset, timestamp, batch.timestamp_type, key, value, headers)


def _header(reader: "_Reader") -> tuple[str, bytes | None]:
    name, value = reader.take(reader.size()), reader.nullable()
    text = name.decode(errors="backslashreplace")
    return text, None if ESCAPED in text else value


class _Reader:
    def __init__(self, raw: bytes, at: int) -> None:
        self._raw, self.at = raw, at

    def number(self) -> int:
        """A varint or varlong, zigzag."""
        found = 0
        for shift, byte in enumerate(self._raw[self.at : self.at + _LONGEST]):
            found |= (byte & 0x7F) << 7 * shift
            if byte < 0x80:
                self.at += shift + 1
                return found >> 1 ^ -(found & 1)
        raise DamagedBatchError

    def size(self) -> int:
        size = self.number()
        if not 0 <= size <= len(self._raw) - self.at:
            raise DamagedBatchError
        return size

    def take(self, size: int) -> bytes:
        self.at += size
        if self.at > len(self._raw):
            raise DamagedBatchError
        return self._raw[self.at - size : self.at]

    def nullable(self) -> bytes | None:
        size = self.number()
        return None if size < 0 else self.take(size)
