"""Many records read at once: the same answers as `Decoder.read` for each, in columns."""

from binascii import Error as NoHex
from binascii import unhexlify
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from kielto.events.base import MAX_BYTES
from kielto.events.records import Permissions
from kielto.subscriber.blocks import KEY, Block, Cut, Plane, real_times
from kielto.subscriber.columns import Many
from kielto.subscriber.decode import KEPT, Decoder, Item

FEW = 16
"""So few records are read one by one."""
_TYPE = Permissions.type_name().encode()
_NAME, _TEXT = itemgetter(0), itemgetter(1)
_MUST = {"ce_type": {_TYPE}, "ce_specversion": {b"1.0"}}


class Tables:
    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._planes: dict[tuple[int, int], list[Plane]] = defaultdict(list)  # by sizes of value and version
        self._count = 0
        self._numbers: dict[bytes, int] = {}
        self._versions: list[tuple[int, int]] = []

    def read(self, records: Sequence[Any]) -> tuple[Block | None, list[tuple[int, int, Item]]]:
        """Kafka's records of one lane; those that are not in the block follow as (partition, offset, item)."""
        block, taken = None, np.zeros(len(records), bool)
        if len(records) >= FEW:
            self._forget()
            texts = self._texts(records)
            places, cuts = self._cut(records, texts)
            if cuts:
                right, shapes, *columns = _apart(cuts, _table([records[at].key for at in places]))
                at = np.array(places)[right]
                taken[at] = True
                chosen = at.tolist()
                versions = np.array(self._versions, np.uint64)[[self._numbers[texts[i]] for i in chosen]]
                block = _block([records[i] for i in chosen], versions, shapes, *columns)
        return block, [self._single(records[at]) for at in np.flatnonzero(~taken).tolist()]

    def _single(self, record: Any) -> tuple[int, int, Item]:
        item = self._decoder.read(record.key, record.value, record.headers)
        return record.partition, record.offset, item

    def _forget(self) -> None:
        if self._count > KEPT:
            self._planes.clear()
            self._count = 0
        if len(self._numbers) > KEPT:
            self._numbers.clear()
            self._versions.clear()

    def _texts(self, records: Sequence[Any]) -> list[Any]:
        """The version in the header of each ordinary record; None: what this is must be judged by itself."""
        alike: dict[int, list[int]] = defaultdict(list)
        texts: list[Any] = [None] * len(records)
        for at, record in enumerate(records):
            if record.key is not None and len(record.key) == KEY and record.value is not None:
                alike[len(record.headers)].append(at)
        for count, places in alike.items():
            said = _said([records[at].headers for at in places], count) if count else ()
            for text in set(said).difference(self._numbers):
                if (version := self._decoder.version(text)) is not None:
                    self._numbers[text] = len(self._versions)
                    self._versions.append(version)
            for at, text in zip(places, said, strict=False):
                if text in self._numbers:
                    texts[at] = text
        return texts

    def _cut(self, records: Sequence[Any], texts: list[Any]) -> tuple[list[int], list[Cut]]:
        """Which records fit a plane, and what was cut out of them, in the same order."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for at, text in enumerate(texts):
            if text is not None:
                groups[len(records[at].value), len(text)].append(at)
        places: list[int] = []
        cuts: list[Cut] = []
        for sizes, group in groups.items():
            if sizes[0] > MAX_BYTES:
                continue
            values = _table([records[at].value for at in group])
            versions = _table([texts[at] for at in group])
            for cut in self._cut_group(sizes, values, versions, records, group):
                places += [group[row] for row in cut.rows.tolist()]
                cuts.append(cut)
        return places, cuts

    def _cut_group(
        self, sizes: tuple[int, int], values: Many, versions: Many, records: Sequence[Any], group: list[int]
    ) -> Iterator[Cut]:
        planes, left, tried = self._planes[sizes], np.arange(len(values)), 0
        for nth in range(KEPT):
            while nth == len(planes):
                if len(left) < FEW or tried == FEW:
                    return
                row = int(left[tried % len(left)])
                tried += 1
                plane = self._decoder.plane(
                    records[group[row]].key, versions[row].tobytes(), records[group[row]].value
                )
                if plane is not None and plane.template not in [known.template for known in planes]:
                    planes.append(plane)
                    self._count += 1
            whole = len(left) == len(values)
            cut = planes[nth].cut(*(values, versions) if whole else (values[left], versions[left]))
            if cut is not None:
                yield cut._replace(rows=left[cut.rows])
                left = np.delete(left, cut.rows)
                if not len(left):
                    return


def _apart(cuts: list[Cut], keys: Many) -> tuple[Any, ...]:
    """Which of the cuts' records are right, in order; and of these shape, size, first and second part of the
    id, and all hashes.
    """
    right = (np.concatenate([cut.keys for cut in cuts]) == keys).all(axis=1)
    spelled = b"".join([keys.tobytes(), *[cut.hashes.tobytes() for cut in cuts]])
    try:
        digests = np.frombuffer(unhexlify(spelled), ">u8").reshape(-1, 4)
        right &= spelled.islower()
    except NoHex:  # nobody sends such: then all are read one by one
        digests, right = np.zeros((len(spelled) // KEY, 4), ">u8"), np.zeros(len(keys), bool)
    hashes, row, place = [], 0, len(keys)
    for cut in cuts:
        count, wide = len(cut.rows), cut.hashes.shape[1] // KEY
        slots, same = cut.plane.slots(digests[place : place + count * wide].reshape(count, -1))
        same &= real_times(cut.times)
        same &= right[row : row + count]
        right[row : row + count] = same
        hashes.append((slots if same.all() else slots[same]).ravel())
        row, place = row + count, place + count * wide
    counts = [len(cut.rows) for cut in cuts]
    shapes = np.repeat([cut.plane.shape for cut in cuts], counts)[right]
    sizes = np.repeat([cut.plane.count for cut in cuts], counts)[right]
    own = digests[: len(keys)][right]
    return right, shapes, sizes, own[:, 0], own[:, 1] >> 32, np.concatenate(hashes)


def _block(
    records: list[Any], versions: Many, shapes: Many, sizes: Many, hi: Many, lo: Many, hashes: Many
) -> Block:
    return Block(
        keys=[r.key for r in records],
        values=[r.value for r in records],
        partitions=np.array([r.partition for r in records], np.int64),
        offsets=np.array([r.offset for r in records], np.int64),
        hi=hi.astype(np.uint64),
        lo=lo.astype(np.uint32),
        epochs=versions[:, 0],
        ns=versions[:, 1],
        shapes=shapes,
        sizes=sizes,
        hashes=hashes,
    )


def _table(rows: Sequence[bytes]) -> Many:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _said(headers: list[Any], count: int) -> Sequence[bytes]:
    """The versions, when all have the same headers and nothing is unusual about any; else nothing."""
    all_ = list(chain.from_iterable(headers))
    names, texts = list(map(_NAME, all_)), list(map(_TEXT, all_))
    place = {name: at for at, name in enumerate(names[:count])}
    if names != names[:count] * len(headers) or len(place) < count:
        return ()
    try:
        plain = b"".join(texts).isascii()
    except TypeError:  # a null header
        return ()
    needed = all(name in place and set(texts[place[name] :: count]) == must for name, must in _MUST.items())
    for name in ("ce_source", "ce_id", "ce_kieltoversion"):
        needed = needed and name in place and b"" not in texts[place[name] :: count]
    return texts[place["ce_kieltoversion"] :: count] if plain and needed else ()
