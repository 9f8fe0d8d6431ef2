"""The Merkle tree of RFC 9162, section 2.1 (hashed as in RFC 6962): roots, inclusion and consistency proofs.

Pure: the caller stores the tree, asks here which parts a proof consists of, and passes their hashes.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

TILE = 8
"""Of the inner nodes only every eighth level need be kept: 1/255 of the leaves' number, and at most 255
hashes are read for each level that is kept."""

EMPTY = hashlib.sha256(b"").digest()
"""The root of no leaves."""


class MerklePart(NamedTuple):
    """The leaves `begin` to `end`, without `end`."""

    begin: int
    end: int


class Node(NamedTuple):
    """The root of 2 ** height leaves, the `place`-th of that height from 0 on."""

    height: int
    place: int


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """A growing tree, by the roots of the full subtrees at its right edge: at most one for each bit of its
    size.

    `edge` are the hashes of `nodes(MerklePart(0, size))`.
    """

    def __init__(self, size: int = 0, edge: Sequence[bytes] = ()) -> None:
        self.size = size
        heights = [node.height for node in nodes(MerklePart(0, size))]
        self._edge = list(zip(heights, edge, strict=True))

    def append(self, hash_: bytes) -> list[tuple[Node, bytes]]:
        """Add a leaf's hash; returns the nodes of kept levels that it completes."""
        height, place = 0, self.size
        completed = []
        while self._edge and self._edge[-1][0] == height:
            hash_ = node_hash(self._edge.pop()[1], hash_)
            height, place = height + 1, place >> 1
            if height % TILE == 0:
                completed.append((Node(height, place), hash_))
        self._edge.append((height, hash_))
        self.size += 1
        return completed

    def root(self) -> bytes:
        return fold([hash_ for _, hash_ in self._edge])


def root(hashes: Iterable[bytes]) -> bytes:
    """The root over the hashes of leaves, or of nodes of one height."""
    tree = Tree()
    for hash_ in hashes:
        tree.append(hash_)
    return tree.root()


def fold(hashes: Sequence[bytes]) -> bytes:
    """The hash of a part from those of its `nodes`."""
    if not hashes:
        return EMPTY
    found = hashes[-1]
    for left in reversed(hashes[:-1]):
        found = node_hash(left, found)
    return found


def nodes(part: MerklePart) -> list[Node]:
    """The full subtrees that a part consists of, left to right."""
    found, begin = [], part.begin
    while begin < part.end:
        fits = (part.end - begin).bit_length() - 1
        height = min(fits, (begin & -begin).bit_length() - 1) if begin else fits
        found.append(Node(height, begin >> height))
        begin += 1 << height
    return found


def inclusion(index: int, size: int) -> list[MerklePart]:
    """The parts whose hashes prove that leaf `index` is in the tree of `size` leaves (2.1.3.1)."""
    return _beside(index, size)[1][::-1]


def consistency(old: int, size: int) -> list[MerklePart]:
    """The parts whose hashes prove that the tree of `size` leaves begins with that of `old`, at least one
    (2.1.4.1).
    """
    reached, parts = _beside(old - 1, size, stop=old)
    if reached.begin:
        parts.append(reached)
    return parts[::-1]


def _beside(leaf: int, size: int, stop: int | None = None) -> tuple[MerklePart, list[MerklePart]]:
    """Go down from the root to a leaf, or to the first part that ends at `stop`; return it and the parts beside."""
    begin, end, parts = 0, size, []
    while end - begin > 1 and end != stop:
        middle = begin + (1 << (end - begin - 1).bit_length() - 1)  # the largest power of two below the size
        if leaf < middle:
            parts.append(MerklePart(middle, end))
            end = middle
        else:
            parts.append(MerklePart(begin, middle))
            begin = middle
    return MerklePart(begin, end), parts


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` proves that the leaf with hash `leaf` is the `index`-th of the tree (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for hash_ in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(hash_, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(old: int, old_root: bytes, size: int, root: bytes, path: Sequence[bytes]) -> bool:
    """Whether `path` proves that the tree of `size` leaves begins with the tree of `old` leaves (2.1.4.2)."""
    if old == size:
        return not path and old_root == root
    if not 0 < old < size or not path:
        return False
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    found_old = found = hashes[0]
    for hash_ in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            found_old, found = node_hash(hash_, found_old), node_hash(hash_, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, hash_)
        at, last = at >> 1, last >> 1
    return last == 0 and found_old == old_root and found == root
