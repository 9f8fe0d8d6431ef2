"""The follower's table in memory: columns of numbers, about 66 bytes a customer with the indexes.

Customers are found by the first 96 bits of their id, customer numbers and contact points by 64 bits of their hashes.
All of these are HMACs. Among a million customers two ids are equal with a probability of 10^-17. An address that no
customer has is taken for a customer's with a probability of 10^-13. Customers who seem to share a point only
deny each other.
"""

from array import array

import numpy as np

from kielto.events.topics import Lane
from kielto.events.versions import Version
from kielto.subscriber.columnar.arrays import Column, Many, Rows, Split
from kielto.subscriber.columnar.hash_index import Index
from kielto.subscriber.columnar.record_batch import RecordBlock
from kielto.subscriber.columnar.row_kinds import RowKind, RowKinds
from kielto.subscriber.records.content import Content, Shape, Shapes, ident

NEVER = -1
_CHUNK = 1 << 16
"""Rows handled at once, so that intermediate arrays stay small."""
_FEW = 64


class Image:
    def __init__(self) -> None:
        self.shapes = Shapes()
        self._hi, self._lo = Column("Q"), Column("I")
        self.kinds, self._kind = RowKinds(), Column("H")
        self._n = Column("B")
        self._seen = {lane: Split() for lane in Lane}  # the offset last read at, plus 1; 0: never
        self._first = Split()
        self.count_unreadable = 0
        self.until: dict[int, float] = {}
        self._hashes = Column("Q")
        self._ids, self._points = Index(0.82), Index(0.9)
        self._listed = 0
        """Rows from here on are not in the index of points yet; it is brought up to date at the next look-up."""

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

    def find_many(self, hi: Many, lo: Many) -> Many:
        """The rows of many ids; -1 where there is none."""
        if not len(self):
            return np.full(len(hi), -1, np.int64)
        his, los = self._hi.view(), self._lo.view()

        def is_it(at: Rows, rows: Many) -> Many:
            same: Many = his.take(rows, mode="clip") == hi[at]
            same &= los.take(rows, mode="clip") == lo[at]
            return same

        return self._ids.find_many(hi, is_it)

    def holders(self, hash_: int) -> list[tuple[int, int]]:
        """(row, slot) of each customer number or point with this hash."""
        self._list_all()
        rows = set(self._points.candidates(hash_))
        return [(row, slot) for row in rows for slot, held in enumerate(self.hashes(row)) if held == hash_]

    def ident(self, row: int) -> tuple[int, int]:
        return self._hi[row], self._lo[row]

    def shape(self, row: int) -> Shape:
        return self.shapes[self._kind_of(row).shape]

    def partition(self, row: int) -> int:
        return self._kind_of(row).partition

    def unreadable(self, row: int) -> bool:
        return self._kind_of(row).unreadable

    def _kind_of(self, row: int) -> RowKind:
        return self.kinds[self._kind[row]]

    def hashes(self, row: int) -> list[int]:
        first = self._first[row]
        return self._hashes.cells[first : first + self.shape(row).size].tolist()

    def version(self, row: int) -> Version:
        return Version(self._kind_of(row).epoch, self._n[row])

    def seen(self, row: int, lane: Lane) -> int:
        """The offset at which the row's version was last read on a lane, or NEVER."""
        return self._seen[lane][row] - 1

    # -- reading many: copies, by row

    def versions_of(self, rows: Many) -> tuple[Many, Many]:
        return self.kinds.table.epochs[self._kind.view()[rows]], self._n.view()[rows].astype(np.uint64)

    def unreadable_of(self, rows: Many) -> Many:
        return self.kinds.table.unreadable[self._kind.view()[rows]]

    def plain_of(self, rows: Many) -> Many:
        """Whether a row can be replaced in the columns alone: it has no end and is not in the index of points yet."""
        endless = np.array([row not in self.until for row in rows.tolist()], bool)
        return endless & (rows >= self._listed)

    def kinds_of(self, start: int, stop: int) -> Many:
        return self._kind.view()[start:stop]

    def seen_from(self, start: int, stop: int, lane: Lane) -> Many:
        """For each row the offset at which its version was last read on a lane, plus 1; or 0."""
        return self._seen[lane].part(start, stop)

    def seen_of(self, rows: Many, lane: Lane) -> Many:
        return self._seen[lane].take(rows)

    # -- writing

    def add(self, ident: tuple[int, int], partition: int, version: Version, content: Content | None) -> int:
        """Add a row. Without content it is unreadable."""
        row = len(self._hi)
        self._hi.append(ident[0])
        self._lo.append(ident[1])
        self._n.append(version.n)
        for seen in self._seen.values():
            seen.append(0)
        self._kind.append(
            self.kinds.number(RowKind(content.shape if content else 0, partition, version.epoch, False))
        )
        self._first.append(0)
        self._make_room(1)
        self._ids.add(ident[0], row)
        if content is not None:
            if content.until is not None:
                self.until[row] = content.until
            self._put_hashes(row, content.hashes)
        else:
            self.spoil(row)
        return row

    def add_many(self, block: RecordBlock, lane: Lane) -> None:
        """Add new rows, which were read on a lane. No id of the block may be known, or be in it twice."""
        start, ends = len(self), np.cumsum(block.sizes)
        self._first.extend(ends - block.sizes + len(self._hashes))
        self._hashes.extend(block.hashes)
        self._hi.extend(block.hi)
        self._lo.extend(block.lo)
        self._n.extend(block.ns)
        for each in Lane:
            self._seen[each].extend((block.offsets + 1) * (each is lane))
        self._kind.extend(self.kinds.numbers(block.shapes, block.partitions, block.epochs))
        self._make_room(len(block.hi))
        self._ids.add_many(block.hi, np.arange(start, len(self), dtype=np.uint32))

    def replace_many(self, rows: Many, block: RecordBlock, lane: Lane) -> None:
        """Replace rows for which `plain_of` is true by newer versions, which were read on a lane. No row may come
        twice.
        """
        table, kinds = self.kinds.table, self._kind.view()[rows]
        partitions, room = table.partitions[kinds], self._sizes()[kinds]
        self._kind.put(rows, self.kinds.numbers(block.shapes, partitions, block.epochs))
        self._n.put(rows, block.ns)
        for each in Lane:
            self._seen[each].put(rows, (block.offsets + 1) * (each is lane))
        grown = block.sizes > room  # the old place is lost; this is rare, and takes a few bytes
        sizes = block.sizes[grown]
        self._first.put(rows[grown], np.cumsum(sizes) - sizes + len(self._hashes))
        self._hashes.extend(np.zeros(sizes.sum(), np.uint64))
        self._hashes.put(_places(self._first.take(rows), block.sizes), block.hashes)

    def raise_version(self, row: int, version: Version) -> None:
        """Note a newer version, which was not read at any offset yet."""
        kind = self._kind_of(row)
        if version.epoch != kind.epoch:
            self._kind[row] = self.kinds.number(kind._replace(epoch=version.epoch))
        self._n[row] = version.n
        for seen in self._seen.values():
            seen[row] = 0

    def see(self, row: int, lane: Lane, offset: int) -> None:
        self._seen[lane][row] = offset + 1

    def see_many(self, rows: Many, lane: Lane, offsets: Many) -> None:
        self._seen[lane].put(rows, offsets + 1)

    def forget_offsets(self, lane: Lane) -> None:
        """Forget all offsets of a lane, since its topic was recreated."""
        self._seen[lane].clear(len(self))

    def spoil(self, row: int) -> None:
        """Mark the row as unreadable: what it lists stays, and is denied."""
        kind = self._kind_of(row)
        self.count_unreadable += not kind.unreadable
        self._kind[row] = self.kinds.number(kind._replace(unreadable=True))

    def put(self, row: int, content: Content) -> None:
        """Replace what the row lists by a readable record."""
        kind, old = self._kind_of(row), tuple(self.hashes(row))
        self.count_unreadable -= kind.unreadable
        self._kind[row] = self.kinds.number(kind._replace(shape=content.shape, unreadable=False))
        self.until.pop(row, None)
        if content.until is not None:
            self.until[row] = content.until
        if content.hashes == old:
            return
        if row < self._listed:
            for hash_ in old:
                self._points.remove(hash_, row)
        self._put_hashes(row, content.hashes, room=len(old))
        if row < self._listed:
            self._list(range(row, row + 1))

    def _put_hashes(self, row: int, hashes: tuple[int, ...], room: int = 0) -> None:
        if len(hashes) > room:  # the old place is lost; this is rare, and takes a few bytes
            self._first[row] = len(self._hashes)
            self._hashes.extend(np.array(hashes, np.uint64))
        else:
            first = self._first[row]
            self._hashes.cells[first : first + len(hashes)] = array("Q", hashes)

    # -- the indexes

    def _make_room(self, count: int) -> None:
        """Make room in the index of ids, before the newest `count` rows are added."""
        if self._ids.room < count:
            self._ids.empty(len(self))
            for start in range(0, len(self) - count, _CHUNK):
                rows = np.arange(start, min(start + _CHUNK, len(self) - count), dtype=np.uint32)
                self._ids.add_many(self._hi.view()[rows], rows)

    def _list_all(self) -> None:
        """Bring the index of points up to date."""
        if self._listed < len(self):
            rows, self._listed = range(self._listed, len(self)), len(self)
            self._list(rows)

    def _list(self, rows: range) -> None:
        if len(rows) <= _FEW:
            pairs = [(hash_, row) for row in rows for hash_ in self.hashes(row)]
            if len(pairs) <= self._points.room:
                for hash_, row in pairs:
                    self._points.add(hash_, row)
                return
        sizes = self._sizes()
        if self._points.room < sizes[self.kinds_of(rows.start, rows.stop)].sum():
            rows = range(self._listed)
            self._points.empty(int(sizes[self.kinds_of(0, self._listed)].sum()))
        for start in range(rows.start, rows.stop, _CHUNK):
            self._list_chunk(np.arange(start, min(start + _CHUNK, rows.stop), dtype=np.uint32), sizes)

    def _list_chunk(self, rows: Many, sizes: Many) -> None:
        counts = sizes[self._kind.view()[rows]]
        places = _places(self._first.take(rows), counts)
        self._points.add_many(self._hashes.view()[places], np.repeat(rows, counts))

    def _sizes(self) -> Many:
        """The number of hashes of a row, by its kind."""
        of_shape = np.array([shape.size for shape in self.shapes], np.int64)
        sizes: Many = of_shape[self.kinds.table.shapes]
        return sizes


def _places(firsts: Many, counts: Many) -> Many:
    """The numbers of `counts` cells from each of `firsts` on."""
    nth = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places: Many = np.repeat(firsts, counts) + nth
    return places
