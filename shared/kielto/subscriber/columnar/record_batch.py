"""Blocks of records as columns, and how values of one length become columns at once.

A *plane* is a template (`records/decode.py`) at fixed places: values that differ from it in version, time, key and
hashes only are compared as one table of bytes. What does not fit exactly is decoded singly.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from kielto.events.versions import Version
from kielto.subscriber.columnar.arrays import Many
from kielto.subscriber.records.content import Content
from kielto.subscriber.records.decode import RecordLayout

KEY = 64
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.uint8)
"""Days of each month; a leap day is decoded singly."""


class RecordBlock(NamedTuple):
    """Readable records as columns. `hashes` has the hashes of all records, `sizes` their number in each record."""

    keys: Sequence[bytes]
    values: Sequence[bytes]
    partitions: Many
    offsets: Many
    hi: Many
    lo: Many
    epochs: Many
    ns: Many
    shapes: Many
    sizes: Many
    hashes: Many

    def chosen(self, which: Many) -> "RecordBlock":
        """The records for which `which` is true."""
        if which.all():
            return self
        at = np.flatnonzero(which).tolist()
        keys, values = [self.keys[i] for i in at], [self.values[i] for i in at]
        columns: list[Any] = [column[which] for column in self[2:-1]]
        return RecordBlock(*(keys, values, *columns, self.hashes[np.repeat(which, self.sizes)]))

    @classmethod
    def joined(cls, blocks: Sequence["RecordBlock"]) -> "RecordBlock":
        if len(blocks) == 1:
            return blocks[0]
        keys, values, *columns = zip(*blocks, strict=True)
        joined: list[Any] = [np.concatenate(column) for column in columns]
        return cls([*chain.from_iterable(keys)], [*chain.from_iterable(values)], *joined)

    def content(self, at: int) -> Content:
        end = int(self.sizes[: at + 1].sum())
        hashes = tuple(self.hashes[end - int(self.sizes[at]) : end].tolist())
        ident = int(self.hi[at]), int(self.lo[at])
        version = Version(int(self.epochs[at]), int(self.ns[at]))
        return Content(
            self.keys[at].decode(), ident, version, int(self.shapes[at]), hashes, None, self.values[at]
        )


class Cut(NamedTuple):
    """What a plane cut out of a table: the rows that fit, and the bytes of their times, keys and hashes."""

    plane: "Plane"
    rows: Many
    times: Many
    keys: Many
    hashes: Many


class Plane:
    """Compares values of one length with `value`, a record that was read and whose parts stand as `layout` says."""

    def __init__(self, value: bytes, layout: RecordLayout) -> None:
        template = layout.template
        self.shape, self.count = template.shape, len(template.places)
        self._places, self._equal = list(template.places), list(template.equal)
        self._firsts = sorted(set(template.equal))
        self._version, self._time = layout.version, layout.time
        self._key = slice(layout.key_at, layout.key_at + KEY)
        hashes, at = [], layout.key_at + KEY + 1
        for text in template.texts[:-1]:
            at += len(text)
            hashes.append(slice(at, at + KEY))
            at += KEY
        self._hashes = hashes
        digits = [i for i in range(self._time.start, self._time.stop) if chr(value[i]).isdigit()]
        mask = np.full(len(value), 0xFF, np.uint8)
        mask[digits] = 0
        for place in (self._version, self._key, *hashes):
            mask[place] = 0
        self._mask, self._text = mask, np.frombuffer(value, np.uint8) & mask

    @property
    def template(self) -> object:
        """Equal for planes that fit the same values."""
        return self._key.start, self._equal, self._places, self._mask.tobytes(), self._text.tobytes()

    def cut(self, table: Many, versions: Many) -> Cut | None:
        """Cut the rows that fit out of a table of values of one length; None if no row fits."""
        fits = ((table & self._mask) == self._text).all(axis=1)
        fits &= (table[:, self._version] == versions).all(axis=1)
        rows = np.flatnonzero(fits)
        if not len(rows):
            return None
        if len(rows) < len(table):
            table = table[rows]
        hashes = [table[:, place] for place in self._hashes] or [table[:, :0]]
        return Cut(self, rows, table[:, self._time], table[:, self._key], np.concatenate(hashes, axis=1))

    def slots(self, digests: Many) -> tuple[Many, Many]:
        """The first 64 bits of each slot, and whether exactly those hashes are equal that the plane has equal.

        `digests` has each hash as four numbers.
        """
        digests = digests.reshape(len(digests), len(self._equal), 4)
        uppermost = digests[:, :, 0].astype(np.uint64)
        right = np.ones(len(digests), bool)
        if len(self._firsts) < len(self._equal):
            right = (digests == digests[:, self._equal]).all(axis=(1, 2))
        if len(self._firsts) > 1:
            distinct = np.sort(uppermost[:, self._firsts], axis=1)
            right &= (distinct[:, 1:] != distinct[:, :-1]).all(axis=1)
        return uppermost[:, self._places], right


def real_times(times: Many) -> Many:
    """Whether each is a time of the calendar: `2026-01-31T12:59:59.123456Z`, with or without a fraction."""
    if not times.shape[1]:
        return np.ones(len(times), bool)
    digits = times - ord("0")
    places = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18, *range(20, times.shape[1] - 1)]
    right = (digits[:, places] <= 9).all(axis=1) & (digits[:, 0] > 0)
    month, day, hour, minute, second = (
        np.minimum(digits[:, at] * 10 + digits[:, at + 1], 99) for at in (5, 8, 11, 14, 17)
    )
    right &= (month >= 1) & (month <= 12) & (day >= 1) & (day <= _DAYS[np.minimum(month, 12)])
    right &= (hour < 24) & (minute < 60) & (second < 60)
    return right
