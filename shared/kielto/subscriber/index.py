"""From 64-bit hashes to row numbers in five or six bytes a key: a Python dict of the same would take some
hundred.
"""

from collections.abc import Callable

import numpy as np

from kielto.subscriber.columns import Many, memory

_DELETED = 0xFFFFFFFF
_RUN = 128
"""No look-up walks further. Rows beyond it (an address given for thousands of customers) go to a plain
dict.
"""
_FULL = 0.84
_GROWTH = 1.25


class Index:
    """Open addressing with linear probing. Holds no hashes: whoever looks up compares the candidates
    himself. A key's first cell follows from its uppermost bits.
    """

    __slots__ = ("_cells", "_crowd", "_size", "room")

    def __init__(self) -> None:
        self.empty(0)

    def empty(self, count: int) -> None:
        """Start again, with room for `count` and a quarter more."""
        self._size = max(1024, int(count * _GROWTH / _FULL))
        self._cells = memory("I", self._size)
        self.room = int(self._size * _FULL)
        """How many more fit well; at 0 it is time to start again with a larger one."""
        self._crowd: dict[int, set[int]] = {}

    @property
    def nbytes(self) -> int:
        return 4 * self._size

    def add(self, hash_: int, row: int) -> None:
        cells, size = self._cells, self._size
        cell = ((hash_ >> 32) * size) >> 32
        for _ in range(_RUN):
            if not cells[cell]:
                cells[cell] = row + 1
                self.room -= 1
                return
            cell = cell + 1 if cell + 1 < size else 0
        self._crowd.setdefault(hash_, set()).add(row)

    def candidates(self, hash_: int) -> list[int]:
        """All rows that were added under this hash, and a few others."""
        cells, size = self._cells, self._size
        cell = ((hash_ >> 32) * size) >> 32
        found = cells[cell]
        if not found:
            return []
        rows = []
        for _ in range(_RUN):
            if found != _DELETED:
                rows.append(found - 1)
            cell = cell + 1 if cell + 1 < size else 0
            found = cells[cell]
            if not found:
                break
        if self._crowd and hash_ in self._crowd:
            rows.extend(self._crowd[hash_])
        return rows

    def remove(self, hash_: int, row: int) -> None:
        if row in self._crowd.get(hash_, ()):
            self._crowd[hash_].discard(row)
            return
        size = self._size
        first = ((hash_ >> 32) * size) >> 32
        for step in range(_RUN):
            cell = (first + step) % size
            if self._cells[cell] == row + 1:
                self._cells[cell] = _DELETED
                return

    # -- many at once

    def _first(self, hashes: Many) -> Many:
        return (((hashes >> np.uint64(32)) * np.uint64(self._size)) >> np.uint64(32)).astype(np.int64)

    def add_many(self, hashes: Many, rows: Many) -> None:
        """As `add` for each pair."""
        cells, size = np.frombuffer(self._cells, np.uint32), self._size
        cell, left = self._first(hashes), np.arange(len(hashes))
        for _ in range(_RUN):
            free = np.flatnonzero(cells[cell] == 0)
            claims = np.arange(1, len(free) + 1, dtype=np.uint32)
            cells[cell[free]] = claims  # where two want the same cell, one claim remains
            won = free[cells[cell[free]] == claims]
            cells[cell[won]] = rows[left[won]] + 1
            self.room -= len(won)
            keep = np.ones(len(left), bool)
            keep[won] = False
            left, cell = left[keep], cell[keep] + 1
            if not len(left):
                return
            cell[cell == size] = 0
        for hash_, row in zip(hashes[left].tolist(), rows[left].tolist(), strict=True):
            self._crowd.setdefault(hash_, set()).add(row)

    def find_many(self, hashes: Many, is_it: Callable[[Many, Many], Many]) -> Many:
        """For each hash the row that `is_it(places in hashes, candidate rows)` says is the one, or -1."""
        cells, size = np.frombuffer(self._cells, np.uint32), self._size
        result = np.full(len(hashes), -1, np.int64)
        left, cell = np.arange(len(hashes)), self._first(hashes)
        for _ in range(_RUN):
            found = cells[cell]
            there = np.flatnonzero(found)
            left, cell, found = left[there], cell[there], found[there]
            if not len(left):
                return result
            rows = found.astype(np.int64) - 1
            rows[found == _DELETED] = 0
            hit = is_it(left, rows) & (found != _DELETED)
            result[left[hit]] = rows[hit]
            miss = ~hit
            left, cell = left[miss], cell[miss] + 1
            cell[cell == size] = 0
        for place in left.tolist() if self._crowd else ():
            for row in self._crowd.get(int(hashes[place]), ()):
                if is_it(np.array([place]), np.array([row]))[0]:
                    result[place] = row
        return result
