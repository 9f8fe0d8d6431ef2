"""From 64-bit hashes to row numbers in four bytes a cell: a Python dict of the same would take some hundred
bytes each.
"""

from array import array
from collections.abc import Iterable

_DELETED = 0xFFFFFFFF
_RUN = 32
"""No look-up walks further. Rows beyond it (an address given for thousands of customers) go to a plain
dict.
"""


class Index:
    """Open addressing with linear probing. Holds no hashes: whoever looks up compares the candidates
    himself.
    """

    __slots__ = ("_cells", "_crowd", "_size", "room")

    def __init__(self) -> None:
        self._empty(1024)

    def _empty(self, cells: int) -> None:
        self._cells = array("I", bytes(4 * cells))
        self._size = cells
        self.room = cells * 2 // 3
        """How many more fit well; at 0 it is time to `rebuild`."""
        self._crowd: dict[int, set[int]] = {}

    def add(self, hash_: int, row: int) -> None:
        cells, size = self._cells, self._size
        cell = hash_ % size
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
        cell = hash_ % size
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
        for step in range(_RUN):
            cell = (hash_ + step) % size
            if self._cells[cell] == row + 1:
                self._cells[cell] = _DELETED
                return

    def rebuild(self, pairs: Iterable[tuple[int, int]], count: int) -> None:
        """Start again with all (hash, row) pairs, `count` in number, and room for as many more."""
        self._empty(max(1024, count * 3))
        cells, size, placed = self._cells, self._size, 0
        for hash_, row in pairs:
            cell = hash_ % size
            if cells[cell]:
                self.add(hash_, row)
            else:
                cells[cell] = row + 1
                placed += 1
        self.room -= placed
