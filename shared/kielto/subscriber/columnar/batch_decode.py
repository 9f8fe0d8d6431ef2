"""Decodes many records at once, into columns, with the same results as `Decoder.read` for each."""

from binascii import Error as NoHex
from binascii import unhexlify
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np

from kielto.events.base import MAX_BYTES
from kielto.events.envelope import CE_ID, CE_SOURCE, CE_SPECVERSION, CE_TYPE, CE_VERSION, SPECVERSION, Headers
from kielto.events.records import Permissions
from kielto.events.versions import Version
from kielto.subscriber.columnar.arrays import Many
from kielto.subscriber.columnar.record_batch import KEY, Cut, Plane, RecordBlock, real_times
from kielto.subscriber.records.content import Content
from kielto.subscriber.records.decode import KEPT, LONGEST, Decoder, Item, parse_version

FEW = 16
"""Fewer records than this are decoded singly."""
_TYPE = Permissions.type_name().encode()
_FIELDS = attrgetter("partition", "offset", "key", "value", "headers")
_MUST = {CE_TYPE: {_TYPE}, CE_SPECVERSION: {SPECVERSION.encode()}}
_READ = (CE_TYPE, _TYPE), (CE_SPECVERSION, SPECVERSION.encode()), (CE_SOURCE, b"any"), (CE_ID, b"any")
"""The headers that a reader checks, besides the version."""


class Said(NamedTuple):
    """What ordinary headers say, one object for all records with the same version."""

    text: bytes
    version: Version
    headers: Headers
    """Headers that a reader treats as the given ones."""


@dataclass(slots=True)
class SeenRecords:
    """Records of one lane as columns, without what is not read: a third of what the client returns."""

    partitions: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    keys: list[bytes | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)
    headers: list[Headers] = field(default_factory=list)
    said: list[Said | None] = field(default_factory=list)
    """None: this record must be decoded singly."""

    def __len__(self) -> int:
        return len(self.offsets)

    def extend(self, more: "SeenRecords") -> None:
        for own, added in zip(self.columns, more.columns, strict=True):
            own += added

    def take(self, count: int) -> "SeenRecords":
        """Remove the first `count` records and return them."""
        taken = SeenRecords(*(column[:count] for column in self.columns))
        for column in self.columns:
            del column[:count]
        return taken

    @property
    def columns(self) -> tuple[list[Any], ...]:
        return self.partitions, self.offsets, self.keys, self.values, self.headers, self.said


@lru_cache(KEPT)
def _said(text: bytes) -> Said | None:
    version = parse_version(text)
    return None if version is None else Said(text, version, (*_READ, (CE_VERSION, text)))


class Tables:
    """Decodes batches of one party's records."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self._planes: dict[tuple[int, int], list[Plane]] = defaultdict(list)  # by sizes of value and version
        self._count = 0

    def see(self, records: Sequence[Any]) -> SeenRecords:
        """Take what is needed out of Kafka's own records, which need not be kept afterwards."""
        fields: Any = zip(*map(_FIELDS, records), strict=True)
        seen = SeenRecords(*map(list, fields))
        seen.said = [None] * len(seen)
        alike: dict[int, list[int]] = defaultdict(list)
        for at, (key, value, headers) in enumerate(zip(seen.keys, seen.values, seen.headers, strict=True)):
            if key is not None and len(key) == KEY and value is not None:
                alike[len(headers)].append(at)
        for count, places in alike.items():
            texts = _versions([seen.headers[at] for at in places], count) if count else ()
            known = {text: _said(text) for text in set(texts) if len(text) <= LONGEST}
            for at, text in zip(places, texts, strict=False):
                if (said := known.get(text)) is not None:
                    seen.said[at], seen.headers[at] = said, said.headers
        return seen

    def read(self, seen: SeenRecords) -> tuple[RecordBlock | None, list[tuple[int, int, Item]]]:
        """Decode records of one lane into a block; the others follow as (partition, offset, item)."""
        if len(seen) < FEW:
            return None, [self._single(seen, at) for at in range(len(seen))]
        if self._count > KEPT:
            self._planes.clear()
            self._count = 0
        blocks, left = [], np.ones(len(seen), bool)
        places, cuts = self._cut(seen)
        if cuts:
            right, columns = _apart(cuts, _table(_chosen(seen.keys, places)))
            at = np.array(places)[right]
            left[at] = False
            versions = [said.version for said in _chosen(seen.said, at.tolist())]
            blocks.append(_block(seen, at.tolist(), versions, columns))
        rest, plain = [], []
        for place in np.flatnonzero(left).tolist():
            partition, offset, item = self._single(seen, place)
            if type(item) is Content and item.until is None:
                plain.append((place, item))
            else:
                rest.append((partition, offset, item))
        if plain:
            blocks.append(_block(seen, *_columns(plain)))
        return RecordBlock.joined(blocks) if blocks else None, rest

    def _single(self, seen: SeenRecords, at: int) -> tuple[int, int, Item]:
        item = self._decoder.read(seen.keys[at], seen.values[at], seen.headers[at])
        return seen.partitions[at], seen.offsets[at], item

    def _cut(self, seen: SeenRecords) -> tuple[list[int], list[Cut]]:
        """The places of the records that fit a plane, and what was cut out of them, in the same order."""
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for at, (value, said) in enumerate(zip(seen.values, seen.said, strict=True)):
            if said is not None and value is not None:
                groups[len(value), len(said.text)].append(at)
        places: list[int] = []
        cuts: list[Cut] = []
        for sizes, group in groups.items():
            if sizes[0] > MAX_BYTES:
                continue
            values = _table(_chosen(seen.values, group))
            versions = _table([said.text for said in _chosen(seen.said, group)])
            for cut in self._cut_group(sizes, values, versions, _chosen(seen.keys, group)):
                places += [group[row] for row in cut.rows.tolist()]
                cuts.append(cut)
        return places, cuts

    def _cut_group(
        self, sizes: tuple[int, int], values: Many, versions: Many, keys: Sequence[bytes]
    ) -> Iterator[Cut]:
        planes, left, tried = self._planes[sizes], np.arange(len(values)), 0
        for nth in range(KEPT):
            while nth == len(planes):
                if len(left) < FEW or tried == FEW:
                    return
                row = int(left[tried % len(left)])
                tried += 1
                value = values[row].tobytes()
                layout = self._decoder.layout(keys[row], versions[row].tobytes(), value)
                if layout is None:
                    continue
                plane = Plane(value, layout)
                if plane.template not in [known.template for known in planes]:
                    planes.append(plane)
                    self._count += 1
            whole = len(left) == len(values)
            cut = planes[nth].cut(*(values, versions) if whole else (values[left], versions[left]))
            if cut is not None:
                yield cut._replace(rows=left[cut.rows])
                left = np.delete(left, cut.rows)
                if not len(left):
                    return


def _apart(cuts: list[Cut], keys: Many) -> tuple[Many, tuple[Many, ...]]:
    """Which records of the cuts are valid, and what `_block` needs of these."""
    right = (np.concatenate([cut.keys for cut in cuts]) == keys).all(axis=1)
    spelled = b"".join([keys.tobytes(), *[cut.hashes.tobytes() for cut in cuts]])
    try:
        digests = np.frombuffer(unhexlify(spelled), ">u8").reshape(-1, 4)
        right &= spelled.islower()
    except NoHex:  # not hexadecimal: then all are decoded singly
        digests, right = np.zeros((len(spelled) // KEY, 4), ">u8"), np.zeros(len(keys), bool)
    right &= _real_times(cuts)
    hashes, row, place = [], 0, len(keys)
    for cut in cuts:
        count, wide = len(cut.rows), cut.hashes.shape[1] // KEY
        slots, same = cut.plane.slots(digests[place : place + count * wide].reshape(count, -1))
        same &= right[row : row + count]
        right[row : row + count] = same
        hashes.append((slots if same.all() else slots[same]).ravel())
        row, place = row + count, place + count * wide
    counts = [len(cut.rows) for cut in cuts]
    shapes = np.repeat([cut.plane.shape for cut in cuts], counts)[right]
    sizes = np.repeat([cut.plane.count for cut in cuts], counts)[right]
    own = digests[: len(keys)][right]
    return right, (own[:, 0], own[:, 1] >> 32, shapes, sizes, np.concatenate(hashes))


def _real_times(cuts: list[Cut]) -> Many:
    """Whether the time of each row is valid; times of one width are checked together."""
    rows = np.cumsum([0, *[len(cut.rows) for cut in cuts]])
    right = np.ones(rows[-1], bool)
    for width in {cut.times.shape[1] for cut in cuts}:
        alike = [at for at, cut in enumerate(cuts) if cut.times.shape[1] == width]
        places = np.concatenate([np.arange(rows[at], rows[at + 1]) for at in alike])
        right[places] = real_times(np.concatenate([cuts[at].times for at in alike]))
    return right


def _columns(plain: list[tuple[int, Content]]) -> tuple[list[int], list[Version], tuple[Many, ...]]:
    """What `_block` needs of records that were decoded singly."""
    places, read = zip(*plain, strict=True)
    his, los = zip(*(content.ident for content in read), strict=True)
    shapes = np.array([content.shape for content in read])
    sizes = np.array([len(content.hashes) for content in read])
    hashes = np.array([*chain.from_iterable(content.hashes for content in read)], np.uint64)
    columns = np.array(his, np.uint64), np.array(los), shapes, sizes, hashes
    return [*places], [content.version for content in read], columns


def _block(
    seen: SeenRecords, places: list[int], versions: list[Version], columns: tuple[Many, ...]
) -> RecordBlock:
    """The records at these places. `columns`: both parts of the ids, shapes, numbers of hashes, and all hashes."""
    hi, lo, shapes, sizes, hashes = columns
    return RecordBlock(
        keys=_chosen(seen.keys, places),
        values=_chosen(seen.values, places),
        partitions=np.array(_chosen(seen.partitions, places), np.int64),
        offsets=np.array(_chosen(seen.offsets, places), np.int64),
        hi=hi.astype(np.uint64),
        lo=lo.astype(np.uint32),
        epochs=np.array([version.epoch for version in versions], np.uint64),
        ns=np.array([version.n for version in versions], np.uint64),
        shapes=shapes,
        sizes=sizes,
        hashes=hashes,
    )


def _chosen(column: list[Any], places: list[int]) -> list[Any]:
    return [column[at] for at in places]


def _table(rows: Sequence[bytes]) -> Many:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


def _versions(headers: list[Headers], count: int) -> Sequence[bytes]:
    """The versions, if all records have the same and ordinary headers; else nothing."""
    all_: list[Any] = list(chain.from_iterable(chain.from_iterable(headers)))
    names, texts = all_[::2], all_[1::2]
    place = {name: at for at, name in enumerate(names[:count])}
    if names != names[:count] * len(headers) or len(place) < count:
        return ()
    try:
        plain = b"".join(texts).isascii()
    except TypeError:  # a null header
        return ()
    needed = all(name in place and set(texts[place[name] :: count]) == must for name, must in _MUST.items())
    for name in (CE_SOURCE, CE_ID, CE_VERSION):
        needed = needed and name in place and b"" not in texts[place[name] :: count]
    return texts[place[CE_VERSION] :: count] if plain and needed else ()
