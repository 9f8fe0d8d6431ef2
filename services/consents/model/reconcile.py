"""What differs between a store and the published records. Pure. A key is identified by its first 24 digits."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from kielto.events.control import BUCKETS
from kielto.events.versions import Version

MODULUS = 1 << 64
KEY, SHORT = 64, 24
"""Digits of a key, and those by which it is known."""
FARTHEST = 1_000_000
"""How far above ours a version at a store may be for us to exceed it: no outside store may use up all numbers."""


class Compared(NamedTuple):
    agree: tuple[int, ...]
    differ: tuple[int, ...]
    left_out: tuple[int, ...]


class Range(NamedTuple):
    """Keys that sort from `low` on and before `high`, and whose first digits lie above `after`."""

    low: str
    after: str
    high: str

    @classmethod
    def of(cls, bucket: int, after: str, upto: str) -> "Range":
        """What a listing speaks of; never more than its bucket."""
        end = f"{(bucket + 1) << 2:03x}" if bucket + 1 < BUCKETS else "g"
        last = f"{upto}g" if upto else end  # above every key that begins with it
        return cls(f"{bucket << 2:03x}", after, min(end, last))

    def holds(self, key: str) -> bool:
        return self.low <= key < self.high and key[:SHORT] > self.after


class HeldRecord(NamedTuple):
    key: str
    version: str
    """`<epoch>.<n>`, with `u` when it is held as unreadable."""
    hash: str

    def is_of(self) -> Version | None:
        """The version that the store holds; None when it is none that we ever gave."""
        return _version(self.version)


class Difference(NamedTuple):
    key: str
    kind: str
    """missing, extra, older, newer, unreadable, or content: the same version, but not what we wrote."""
    theirs: str | None
    ours: str | None


def compare_digests(ours: Mapping[int, int], theirs: Sequence[int], moving: Collection[int]) -> Compared:
    """Compare the buckets; leave out those with a record on its way (`moving`): the store may have either version."""
    agree: list[int] = []
    differ: list[int] = []
    for bucket, digest in enumerate(theirs):
        if bucket not in moving:
            (agree if ours.get(bucket, 0) % MODULUS == digest else differ).append(bucket)
    return Compared(tuple(agree), tuple(differ), tuple(sorted(moving)))


def compare_rows(
    ours: Sequence[HeldRecord], theirs: Sequence[HeldRecord], moving: Collection[str]
) -> list[Difference]:
    """Compare a range of keys. `moving`: first digits of keys that are left out."""
    mine, held = {h.key[:SHORT]: h for h in ours}, {h.key[:SHORT]: h for h in theirs}
    found = []
    for short in sorted((mine.keys() | held.keys()) - set(moving)):
        a, b = mine.get(short), held.get(short)
        if a is None or b is None or a.hash != b.hash or a.version != b.version:
            found.append(_difference(a, b))
    return found


def _difference(ours: HeldRecord | None, theirs: HeldRecord | None) -> Difference:
    if ours is None:
        assert theirs is not None
        return Difference(theirs.key, "extra", theirs.version, None)
    if theirs is None:
        return Difference(ours.key, "missing", None, ours.version)
    held, right = theirs.is_of(), ours.is_of()
    assert right is not None
    if theirs.version.endswith("u"):
        kind = "unreadable"
    elif held == right:
        kind = "content"
    else:
        kind = "older" if held is None or held < right else "newer"
    return Difference(ours.key, kind, theirs.version, ours.version)


def above(difference: Difference, epoch: int) -> int | None:
    """The number that our next version must exceed; None: the store would accept no version of this epoch."""
    theirs = _version(difference.theirs or "")
    if theirs is None:
        return 0
    ours = Version.parse(difference.ours) if difference.ours else Version(epoch, 0)
    if theirs.epoch < ours.epoch:
        return 0
    if theirs.epoch > ours.epoch or theirs.n > ours.n + FARTHEST:
        return None
    return theirs.n


def _version(text: str) -> Version | None:
    try:
        return Version.parse(text.removesuffix("u"))
    except ValueError:
        return None
