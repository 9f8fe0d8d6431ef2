"""The follower's store in memory: columns of numbers, about a hundred bytes a customer with its indexes.

Customers are found by the first 128 bits of their id, customer numbers and points by 64 bits of their
hashes. Among a million customers two ids meet with a chance of 10^-26, two hashes with one of 10^-6; and
customers who seem to share a point only deny each other.
"""

from array import array
from collections.abc import Iterator

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.content import Content, Shape, Shapes
from kielto.subscriber.index import Index

NEVER = -1


class Image:
    def __init__(self) -> None:
        self.shapes = Shapes()
        self._hi, self._lo = array("Q"), array("Q")
        self.epoch, self._n = array("I"), array("I")
        self._express, self._bulk = array("I"), array("I")  # offset + 1 where last seen; 0: never
        self._shape, self._first = array("I"), array("I")
        self.partition = array("H")
        self.unreadable = bytearray()
        self.until: dict[int, float] = {}
        self._hashes = array("Q")
        self._ids, self._points = Index(), Index()

    def __len__(self) -> int:
        return len(self._hi)

    # -- reading

    def find(self, key: str) -> int | None:
        """The row of a customer by its id, 64 hex digits."""
        hi, lo = int(key[:16], 16), int(key[16:32], 16)
        for row in self._ids.candidates(hi):
            if self._lo[row] == lo and self._hi[row] == hi:
                return row
        return None

    def holders(self, hash_: int) -> list[tuple[int, int]]:
        """(row, slot) wherever a customer number or point with this hash is held."""
        rows = set(self._points.candidates(hash_))
        return [(row, slot) for row in rows for slot, held in enumerate(self.hashes(row)) if held == hash_]

    def shape(self, row: int) -> Shape:
        return self.shapes[self._shape[row]]

    def hashes(self, row: int) -> list[int]:
        first = self._first[row]
        return self._hashes[first : first + self.shape(row).size].tolist()

    def version(self, row: int) -> Version:
        return Version(self.epoch[row], self._n[row])

    def seen(self, row: int, lane: Lane) -> int:
        """The offset at which the row's version was last seen on a lane, or NEVER."""
        return (self._express if lane is Lane.EXPRESS else self._bulk)[row] - 1

    # -- writing

    def add(self, key: str, partition: int) -> int:
        """A new row that lists nothing yet, at a version below all."""
        row = len(self._hi)
        self._hi.append(int(key[:16], 16))
        self._lo.append(int(key[16:32], 16))
        for column in (self.epoch, self._n, self._express, self._bulk, self._shape, self._first):
            column.append(0)
        self.partition.append(partition)
        self.unreadable.append(1)
        if self._ids.full:
            self._ids.rebuild(zip(self._hi, range(row), strict=False), row)
        self._ids.add(self._hi[row], row)
        return row

    def raise_version(self, row: int, version: Version) -> None:
        """The new version has not been seen anywhere yet."""
        self.epoch[row] = version.epoch
        self._n = _put(self._n, row, version.n)
        self._express[row] = self._bulk[row] = 0

    def see(self, row: int, lane: Lane, offset: int) -> None:
        if lane is Lane.EXPRESS:
            self._express = _put(self._express, row, offset + 1)
        else:
            self._bulk = _put(self._bulk, row, offset + 1)

    def forget_offsets(self, lane: Lane) -> None:
        """The lane's topic was recreated: nothing was seen there."""
        empty = array("I", bytes(4 * len(self)))
        if lane is Lane.EXPRESS:
            self._express = empty
        else:
            self._bulk = empty

    def put(self, row: int, content: Content) -> None:
        """Replace what the row lists."""
        if content.version != self.version(row):
            self.raise_version(row, content.version)
        self.unreadable[row] = 0
        if content.until is not None:
            self.until[row] = content.until
        elif self.until:
            self.until.pop(row, None)
        old, first = self.hashes(row), self._first[row]
        new = content.hashes
        self._shape[row] = content.shape
        if list(new) == old:
            return
        for hash_ in old:
            self._points.remove(hash_, row)
        if len(new) > len(old):  # the old place is lost: rare, and a few bytes
            first = self._first[row] = len(self._hashes)
            self._hashes.extend(new)
        else:
            self._hashes[first : first + len(new)] = array("Q", new)
        if self._points.full:
            self._points.rebuild(self._pairs(), len(self._hashes))
        else:
            for hash_ in new:
                self._points.add(hash_, row)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        for row in range(len(self)):
            for hash_ in self.hashes(row):
                yield hash_, row


def _put(column: "array[int]", row: int, value: int) -> "array[int]":
    """Set a cell; a column of 32-bit numbers becomes one of 64 bits when it must."""
    try:
        column[row] = value
    except OverflowError:
        column = array("Q", column)
        column[row] = value
    return column
