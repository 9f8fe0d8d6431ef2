"""Growing columns of numbers, each in a memory map of its own.

The memory of a column that has grown goes back to the system; in the heap of malloc its holes would take as much again
as the columns. Reserved cells that were never written take no memory.
"""

import mmap
from typing import Any

import numpy as np
import numpy.typing as npt

Many = npt.NDArray[Any]
Rows = Many | slice
_WIDER = {"B": "H", "H": "I", "I": "Q"}
_FIRST = 1 << 12


def memory(kind: str, cells: int) -> "memoryview[int]":
    """Memory for so many cells, all zero."""
    size = np.dtype(kind).itemsize * cells
    return memoryview(mmap.mmap(-1, size)).cast("B").cast(kind)  # type: ignore[call-overload, no-any-return]


class Column:
    """`kind`: B, H, I or Q, for 1, 2, 4 or 8 bytes. The column becomes wider when a number needs it."""

    __slots__ = ("_size", "cells", "kind")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._size = 0
        self.cells = memory(kind, _FIRST)
        """All cells, more than are in use. It is another object after the column has grown."""

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, row: int) -> int:
        return self.cells[row]

    def __setitem__(self, row: int, value: int) -> None:
        while value >> 8 * self.cells.itemsize:
            self._move(_WIDER[self.kind], len(self.cells))
        self.cells[row] = value

    def view(self) -> Many:
        """An array of the present numbers. It does not follow later changes of size."""
        return np.frombuffer(self.cells, self.kind, self._size)

    def append(self, value: int) -> None:
        self._reserve(1)
        self._size += 1
        self[self._size - 1] = value

    def extend(self, values: Many) -> None:
        self._reserve(len(values))
        self.widen(values)
        np.frombuffer(self.cells, self.kind)[self._size : self._size + len(values)] = values
        self._size += len(values)

    def widen(self, values: Many) -> None:
        """Make the column wide enough for all of these numbers."""
        while len(values) and int(values.max()) >> 8 * self.cells.itemsize:
            self._move(_WIDER[self.kind], len(self.cells))

    def clear(self, size: int) -> None:
        """Replace everything by so many zeros."""
        self.cells, self._size = memory(self.kind, max(size, _FIRST)), size

    def put(self, rows: Many, values: Many) -> None:
        self.widen(values)
        np.frombuffer(self.cells, self.kind)[rows] = values

    def _reserve(self, count: int) -> None:
        if self._size + count > len(self.cells):
            self._move(self.kind, (self._size + count) * 3 // 2)

    def _move(self, kind: str, cells: int) -> None:
        moved = memory(kind, cells)
        np.frombuffer(moved, kind)[: self._size] = self.view()
        self.kind, self.cells = kind, moved


class Split:
    """A column that keeps the lower 16 bits of each number apart from the rest: three bytes for numbers below 2^24."""

    __slots__ = ("_above", "_lower")

    def __init__(self) -> None:
        self._lower, self._above = Column("H"), Column("B")

    def __getitem__(self, row: int) -> int:
        return self._above[row] << 16 | self._lower[row]

    def __setitem__(self, row: int, value: int) -> None:
        self._lower[row], self._above[row] = value & 0xFFFF, value >> 16

    def append(self, value: int) -> None:
        self._lower.append(value & 0xFFFF)
        self._above.append(value >> 16)

    def extend(self, values: Many) -> None:
        self._lower.extend(values & 0xFFFF)
        self._above.extend(values >> 16)

    def take(self, rows: Many) -> Many:
        """The numbers of these rows. For rows that do not exist, some number."""
        above = self._above.view().take(rows, mode="clip").astype(np.int64)
        return (above << 16) | self._lower.view().take(rows, mode="clip")

    def part(self, start: int, stop: int) -> Many:
        return (self._above.view()[start:stop].astype(np.int64) << 16) | self._lower.view()[start:stop]

    def put(self, rows: Many, values: Many) -> None:
        self._lower.put(rows, values & 0xFFFF)
        self._above.put(rows, values >> 16)

    def clear(self, size: int) -> None:
        """Replace everything by so many zeros."""
        self._lower, self._above = Column("H"), Column("B")
        self._lower.clear(size)
        self._above.clear(size)
