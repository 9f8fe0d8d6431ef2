"""Puts a block of records into the table at once, and says which records must be read one by one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kielto.events.topics import Lane
from kielto.subscriber.columnar.arrays import Many
from kielto.subscriber.columnar.record_batch import RecordBlock
from kielto.subscriber.columnar.table import Image
from kielto.subscriber.records.content import Content


class MergedBlock(NamedTuple):
    changed: list[tuple[Sequence[bytes], Sequence[bytes]]]
    """Keys and values of the records that are new, or newer than what the table had."""
    seen: list[bytes]
    """Keys of the records whose version the table had already."""
    left: list[tuple[int, int, Content]]
    """Records that the table did not take, by offset: (partition, offset, record)."""
    ends: dict[int, int]
    """By partition, the offset after the block's last record."""


def merge(image: Image, lane: Lane, block: RecordBlock) -> MergedBlock:
    """Add new customers, replace older versions, and note where versions that the table has are seen again.

    Not taken, and listed in `left`, are ids that the block has twice, rows that are unreadable, and newer versions of
    rows that `Image.plain_of` excludes.
    """
    rows = image.find_many(block.hi, block.lo)
    singly = _twice(block.hi)
    new, held = (rows < 0) & ~singly, np.flatnonzero((rows >= 0) & ~singly)
    changed: list[tuple[Sequence[bytes], Sequence[bytes]]] = []
    seen: list[bytes] = []
    if new.any():
        added = block.chosen(new)
        image.add_many(added, lane)
        changed.append((added.keys, added.values))
    if len(held):
        again, newer = _split_held(image, block, rows, held, singly)
        image.see_many(rows[again], lane, block.offsets[again])
        seen = [block.keys[at] for at in again.tolist()]
        if newer.any():
            replaced = block.chosen(newer)
            image.replace_many(rows[newer], replaced, lane)
            changed.append((replaced.keys, replaced.values))
    left = sorted(np.flatnonzero(singly).tolist(), key=block.offsets.item)
    return MergedBlock(
        changed,
        seen,
        [(int(block.partitions[at]), int(block.offsets[at]), block.content(at)) for at in left],
        {
            partition: int(block.offsets[block.partitions == partition].max()) + 1
            for partition in np.unique(block.partitions).tolist()
        },
    )


def _split_held(image: Image, block: RecordBlock, rows: Many, held: Many, singly: Many) -> tuple[Many, Many]:
    """Of records of known customers: the places of those whose version the table has, and a mask of those that
    replace an older one. Marks in `singly` what is left of those that are not older.
    """
    known = rows[held]
    epochs, ns = image.versions_of(known)
    same = (block.epochs[held] == epochs) & (block.ns[held] == ns)
    newer = (block.epochs[held] > epochs) | ((block.epochs[held] == epochs) & (block.ns[held] > ns))
    readable = ~image.unreadable_of(known)
    plain = newer & readable
    plain[plain] = image.plain_of(known[plain])
    singly[held[(same & ~readable) | (newer & ~plain)]] = True
    replacing = np.zeros(len(rows), bool)
    replacing[held[plain]] = True
    return held[same & readable], replacing


def _twice(hashes: Many) -> Many:
    """A mask of the hashes that stand elsewhere too."""
    order = np.argsort(hashes)
    same = hashes[order][1:] == hashes[order][:-1]
    twice = np.zeros(len(hashes), bool)
    twice[order[1:][same]] = twice[order[:-1][same]] = True
    return twice
