"""The follower's store in memory: columns of numbers, about a hundred bytes a customer with its indexes.

Customers are found by the first 128 bits of their id, customer numbers and points by 64 bits of their
hashes. Among a million customers two ids meet with a chance of 10^-26, two hashes with one of 10^-6; and
customers who seem to share a point only deny each other.
"""

from array import array
from collections.abc import Iterator

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.content import Content, Shape, Shapes, ident
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
        self.count_unreadable = 0
        self.until: dict[int, float] = {}
        self._hashes = array("Q")
        self._ids, self._points = Index(), Index()

    def __len__(self) -> int:
        return len(self._hi)

    # -- reading

    def find(self, key: str) -> int | None:
        """The row of a customer by its id, 64 hex digits."""
        return self.row(ident(key))

    def row(self, ident: tuple[int, int]) -> int | None:
        hi, lo = ident
        for row in self._ids.candidates(hi):
            if self._lo[row] == lo and self._hi[row] == hi:
                return row
        return None

    def holders(self, hash_: int) -> list[tuple[int, int]]:
        """(row, slot) wherever a customer number or point with this hash is held."""
        rows = set(self._points.candidates(hash_))
        return [(row, slot) for row in rows for slot, held in enumerate(self.hashes(row)) if held == hash_]

    def ident(self, row: int) -> tuple[int, int]:
        return self._hi[row], self._lo[row]

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

    def add(self, ident: tuple[int, int], partition: int, version: Version, content: Content | None) -> int:
        """A new row; without content it lists nothing, and is unreadable."""
        row = len(self._hi)
        self._hi.append(ident[0])
        self._lo.append(ident[1])
        self.epoch.append(version.epoch)
        self._n.append(0)
        self._n = _put(self._n, row, version.n)
        self._express.append(0)
        self._bulk.append(0)
        self._shape.append(0)
        self._first.append(0)
        self.partition.append(partition)
        self.unreadable.append(0)
        if self._ids.room <= 0:
            self._ids.rebuild(zip(self._hi, range(row), strict=False), row)
        self._ids.add(ident[0], row)
        if content is not None:
            self._shape[row] = content.shape
            if content.until is not None:
                self.until[row] = content.until
            self._list(row, (), content.hashes)
        else:
            self.spoil(row)
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

    def spoil(self, row: int) -> None:
        """Its version cannot be read: what it lists stays, and is denied."""
        self.count_unreadable += not self.unreadable[row]
        self.unreadable[row] = 1

    def put(self, row: int, content: Content) -> None:
        """Replace what the row lists."""
        self.count_unreadable -= self.unreadable[row]
        self.unreadable[row] = 0
        self.until.pop(row, None)
        if content.until is not None:
            self.until[row] = content.until
        old = tuple(self.hashes(row))
        self._shape[row] = content.shape
        if content.hashes != old:
            self._list(row, old, content.hashes)

    def _list(self, row: int, old: tuple[int, ...], new: tuple[int, ...]) -> None:
        for hash_ in old:
            self._points.remove(hash_, row)
        if len(new) > len(old):  # an old place is lost: rare, and a few bytes
            self._first[row] = len(self._hashes)
            self._hashes.extend(new)
        else:
            first = self._first[row]
            self._hashes[first : first + len(new)] = array("Q", new)
        if self._points.room <= 0:
            self._points.rebuild(self._pairs(), len(self._hashes))
        else:
            for hash_ in new:
                self._points.add(hash_, row)

    def _pairs(self) -> Iterator[tuple[int, int]]:
        sizes, hashes = [shape.size for shape in self.shapes], self._hashes
        for row, (shape, first) in enumerate(zip(self._shape, self._first, strict=True)):
            for slot in range(first, first + sizes[shape]):
                yield hashes[slot], row


def _put(column: "array[int]", row: int, value: int) -> "array[int]":
    """Set a cell; a column of 32-bit numbers becomes one of 64 bits when it must."""
    try:
        column[row] = value
    except OverflowError:
        column = array("Q", column)
        column[row] = value
    return column
