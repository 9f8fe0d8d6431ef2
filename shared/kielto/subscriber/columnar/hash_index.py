"""An index from 64-bit hashes to row numbers. It takes about five bytes a key; a Python dict takes about a hundred."""

from collections.abc import Callable, Iterator

import numpy as np

from kielto.subscriber.columnar.arrays import Many, Rows, Split, memory

_AT_ONCE = 1 << 16
"""How many hashes to look up at once: enough that threads seldom wait for the interpreter, and few enough that the
intermediate arrays stay small.
"""
_BUCKET = 8
"""Cells of a bucket: their tags are one number of 64 bits, which is compared at once."""
_RUN = 16
"""How many buckets a look-up visits at most. Rows beyond them (an address of thousands of customers) go to a dict."""
_GROWTH = 1.1
_EMPTY, _DELETED = 0, 1
_LAST = np.uint64(56)
_ONES, _LOWER, _UPPER = (np.uint64(byte * 0x0101_0101_0101_0101) for byte in (0x01, 0x7F, 0x80))
_1, _32, _LOW_HALF = np.uint64(1), np.uint64(32), np.uint64(0xFFFF_FFFF)


class Index:
    """Open addressing in buckets.

    It keeps a *tag* of each hash, its lowest byte, instead of the hash; the caller compares the candidates. The upper
    bits of a hash give its first bucket, and other bits the step to the next ones. A bucket is filled from its first
    cell on; when it is full, the next bucket is used.
    """

    __slots__ = ("_buckets", "_crowd", "_full", "_rows", "_tags", "room")

    def __init__(self, full: float) -> None:
        self._full = full
        self._rows = Split()
        self.empty(0)

    def empty(self, count: int) -> None:
        """Start again with room for `count` and a tenth more."""
        self._buckets = max(128, int(count * _GROWTH / self._full / _BUCKET) + 1)
        self._tags = memory("B", self._buckets * _BUCKET)
        self._rows.clear(self._buckets * _BUCKET)
        self.room = int(self._buckets * _BUCKET * self._full)
        """How many more fit; at 0 start again with a larger index."""
        self._crowd: dict[int, set[int]] = {}

    def _walk(self, hash_: int) -> Iterator[tuple[int, bytes]]:
        """Yield the first cell and the tags of each bucket where the hash may be."""
        bucket = ((hash_ >> 32) * self._buckets) >> 32
        step = ((hash_ & 0xFFFF_FFFF) * (self._buckets - 1) >> 32) + 1
        for _ in range(_RUN):
            tags = self._tags[bucket * _BUCKET : (bucket + 1) * _BUCKET].tobytes()
            yield bucket * _BUCKET, tags
            if not tags[-1]:
                return
            bucket = (bucket + step) % self._buckets

    def _places(self, hash_: int) -> Iterator[int]:
        """Yield the cells that have the tag of the hash."""
        tag = _tag(hash_)
        for first, tags in self._walk(hash_):
            at = tags.find(tag)
            while at >= 0:
                yield first + at
                at = tags.find(tag, at + 1)

    def add(self, hash_: int, row: int) -> None:
        for first, tags in self._walk(hash_):
            at = max(tags.find(_DELETED), tags.find(_EMPTY))
            if at >= 0:
                self.room -= tags[at] == _EMPTY
                self._tags[first + at], self._rows[first + at] = _tag(hash_), row
                return
        self._crowd.setdefault(hash_, set()).add(row)

    def candidates(self, hash_: int) -> list[int]:
        """All rows that were added with this hash, and a few others."""
        rows = [self._rows[cell] for cell in self._places(hash_)]
        if self._crowd and hash_ in self._crowd:
            rows.extend(self._crowd[hash_])
        return rows

    def remove(self, hash_: int, row: int) -> None:
        if row in self._crowd.get(hash_, ()):
            self._crowd[hash_].discard(row)
            return
        for cell in self._places(hash_):
            if self._rows[cell] == row:
                self._tags[cell] = _DELETED
                return

    # -- many at once

    def _first(self, hashes: Many) -> Many:
        return ((hashes >> _32) * np.uint64(self._buckets) >> _32).view(np.int64)

    def _next(self, bucket: Many, hashes: Many) -> Many:
        step = ((hashes & _LOW_HALF) * np.uint64(self._buckets - 1) >> _32).view(np.int64) + 1
        after = bucket + step
        return np.where(after < self._buckets, after, after - self._buckets)

    def add_many(self, hashes: Many, rows: Many) -> None:
        """Do what `add` does, for each pair."""
        tags, words = np.frombuffer(self._tags, np.uint8), np.frombuffer(self._tags, np.uint64)
        bucket, left = self._first(hashes), np.arange(len(hashes))
        for _ in range(_RUN):
            order = np.argsort(bucket)
            bucket, left = bucket[order], left[order]
            place = _used(words[bucket]) + np.arange(len(left)) - np.searchsorted(bucket, bucket)
            fits = place < _BUCKET
            cells, those = bucket[fits] * _BUCKET + place[fits], left[fits]
            tags[cells] = _tags(hashes[those])
            self._rows.put(cells, rows[those])
            self.room -= len(those)
            left = left[~fits]
            if not len(left):
                return
            bucket = self._next(bucket[~fits], hashes[left])
        for hash_, row in zip(hashes[left].tolist(), rows[left].tolist(), strict=True):
            self._crowd.setdefault(hash_, set()).add(row)

    def find_many(self, hashes: Many, is_it: Callable[[Rows, Many], Many]) -> Many:
        """For each hash the row for which `is_it(places in hashes, candidate rows)` is true, or -1."""
        result = np.empty(len(hashes), np.int64)
        parts = range(0, max(1, len(hashes)), _AT_ONCE)
        lefts = [self._find_first(hashes, slice(start, start + _AT_ONCE), is_it, result) for start in parts]
        left, bucket, word, same = map(np.concatenate, zip(*lefts, strict=True))
        for _ in range(_RUN * (_BUCKET + 1)):  # each step tries one more cell or bucket
            on = np.flatnonzero(same | (word >> _LAST))
            left, bucket, word, same = left[on], bucket[on], word[on], same[on]
            if not len(left):
                break
            further = np.flatnonzero(same == 0)
            asked = hashes[left[further]]
            bucket[further] = self._next(bucket[further], asked)
            word[further], same[further] = self._look(bucket[further], asked)
            rows = self._rows.take(_cell(bucket, same))
            hit = is_it(left, rows)
            result[left[hit]] = rows[hit]
            same[hit] = word[hit] = 0
            same &= same - _1
        for place in np.flatnonzero(result < 0).tolist() if self._crowd else ():
            for row in self._crowd.get(int(hashes[place]), ()):
                if is_it(np.array([place]), np.array([row]))[0]:
                    result[place] = row
        return result

    def _find_first(
        self, hashes: Many, part: slice, is_it: Callable[[Rows, Many], Many], result: Many
    ) -> tuple[Many, Many, Many, Many]:
        """Try the first cell that has the tag, which finds most hashes.

        Returns for the others the place, the bucket, its tags, and which of these are still to be tried.
        """
        bucket = self._first(hashes[part])
        word, same = self._look(bucket, hashes[part])
        rows = self._rows.take(_cell(bucket, same))
        result[part] = rows
        left = np.flatnonzero(~is_it(part, rows))
        result[part.start + left] = -1
        same = same[left]
        return part.start + left, bucket[left], word[left], same & (same - _1)

    def _look(self, bucket: Many, hashes: Many) -> tuple[Many, Many]:
        """The tags of each bucket, and the upper bit of each byte that equals the tag of the hash. Above such a bit
        there may be others without a meaning.
        """
        word = np.frombuffer(self._tags, np.uint64).take(bucket, mode="clip")
        differ = word ^ (_tags(hashes) * _ONES)
        return word, (differ - _ONES) & ~differ & _UPPER


def _tag(hash_: int) -> int:
    return max(hash_ & 0xFF, _DELETED + 1)


def _tags(hashes: Many) -> Many:
    tags: Many = np.maximum(hashes & np.uint64(0xFF), np.uint64(_DELETED + 1))
    return tags


def _cell(bucket: Many, same: Many) -> Many:
    """The cell of the lowest bit. Without a bit it is some cell, whose row is another one."""
    cells: Many = bucket * _BUCKET + (np.bitwise_count((same - _1) & ~same) >> 3)
    return cells


def _used(word: Many) -> Many:
    """The number of cells that are not empty."""
    used: Many = np.bitwise_count((((word & _LOWER) + _LOWER) | word) & _UPPER)
    return used
