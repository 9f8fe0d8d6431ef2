"""A record whose header has a name that is no UTF-8 must not stop its topic.

aiokafka 0.14 decodes header names strictly while it hands out records: such a record raises at every attempt,
so nobody ever gets past it, and anyone who may write to a topic could stop its readers. `install()` has such
a batch read again; the record is then handed out with that header's name escaped and its value null, which
`kielto.events.envelope` refuses like any null header. Part of the adapter, whose clients install it.
"""

# ruff: noqa: SLF001 - there is no public way to a record that cannot be decoded
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

_ESCAPED = "\\x"


def install() -> None:
    fetcher.MemoryRecords = _Records


class _Records:
    """In place of aiokafka's MemoryRecords: the batches of one fetch."""

    def __init__(self, raw: bytes) -> None:
        self._raw, self._inner, self._taken = raw, MemoryRecords(raw), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def next_batch(self) -> "_Batch | None":
        batch = self._inner.next_batch()
        self._taken += 1
        return None if batch is None else _Batch(batch, self._raw, self._taken)


class _Batch:
    def __init__(self, inner: Any, raw: bytes, number: int) -> None:
        self._inner, self._raw, self._number = inner, raw, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __iter__(self) -> Iterator[Any]:
        handed = 0
        try:
            for record in self._inner:
                handed += 1
                yield record
        except UnicodeDecodeError:
            pass
        else:
            return
        for place, record in enumerate(self._escaped()):
            if place >= handed:
                yield record

    def _escaped(self) -> Iterator[Any]:
        """The batch once more, by aiokafka's parser in Python."""
        batches = _MemoryRecordsPy(self._raw)
        for _ in range(self._number - 1):
            batches.next_batch()
        assert batches._next_slice is not None
        batch = _DefaultRecordBatchPy(bytes(batches._next_slice))
        iter(batch)  # uncompresses
        batch._buffer = _Buffer(batch._buffer)
        for record in batch:
            record.headers[:] = [(n, None if _ESCAPED in n else value) for n, value in record.headers]
            yield record


class _Buffer(bytearray):
    """Its parts decode whatever they hold."""

    def __getitem__(self, place: Any) -> Any:
        part = super().__getitem__(place)
        return _Buffer(part) if isinstance(place, slice) else part

    def decode(self, *_: Any) -> str:
        return bytes(self).decode("utf-8", "backslashreplace")
