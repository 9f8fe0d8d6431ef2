"""What a follower keeps of a permissions record: 64-bit hashes, and a *shape* that many records share.

A shape is everything in a record but its key, version, times and hashes: its points, and what each permits on which
channel. A million customers have a few hundred shapes; each is kept once.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kielto.events.records import Allow, Permissions
from kielto.events.versions import Version

Terms = tuple[str, str | None, str | None]
"""Purpose, partner and mode, which a question must match exactly."""
Groups = frozenset[str] | None
"""The product groups that a permission is limited to; None: all."""
_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    status: str
    numbers: int
    """How many customer numbers come first among the record's hashes, before its points."""
    points: tuple[Mapping[str, Mapping[Terms, Groups]], ...]
    """What each point permits, by channel. What is absent is denied."""

    @property
    def size(self) -> int:
        return self.numbers + len(self.points)


class Content(NamedTuple):
    """A readable record."""

    key: str
    ident: tuple[int, int]
    """The first 96 bits of the key."""
    version: Version
    shape: int
    hashes: tuple[int, ...]
    until: float | None
    """The time from which on it denies, in seconds since 1970."""
    value: bytes
    """The record as it was read, for stores that keep it."""


class Shapes:
    """The shapes seen so far, by number. Shape 0 lists nothing: it is for erased customers and unreadable records."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._shapes: list[Shape] = []
        self._intern("", 0, ())

    def __getitem__(self, number: int) -> Shape:
        return self._shapes[number]

    def __len__(self) -> int:
        return len(self._shapes)

    def __iter__(self) -> Iterator[Shape]:
        return iter(self._shapes)

    def content(self, event: Permissions, value: bytes) -> Content:
        shape, slots = self.of(event)
        until = event.valid_until.timestamp() if event.valid_until else None
        hashes = tuple(map(hash64, slots))
        return Content(event.subject, ident(event.subject), event.at_version, shape, hashes, until, value)

    def of(self, event: Permissions) -> tuple[int, list[str]]:
        """The number of the record's shape, and its distinct hashes in the order of the shape."""
        numbers = list(dict.fromkeys(event.numbers))
        points: dict[str, dict[str, dict[Terms, Groups]]] = {}
        for listed in event.points:
            terms = points.setdefault(listed.point, {}).setdefault(listed.channel, {})
            for allow in listed.allow:
                _add(terms, allow)
        shape = self._intern(event.status.value, len(numbers), tuple(points.values()))
        return shape, numbers + list(points)

    def _intern(self, status: str, numbers: int, points: tuple[dict[str, dict[Terms, Groups]], ...]) -> int:
        frozen = tuple(frozenset((c, frozenset(terms.items())) for c, terms in p.items()) for p in points)
        number = self._numbers.setdefault((status, numbers, frozen), len(self._shapes))
        if number == len(self._shapes):
            self._shapes.append(Shape(status, numbers, points))
        return number


def _add(terms: dict[Terms, Groups], allow: Allow) -> None:
    asked = (allow.purpose, allow.partner, allow.mode)
    groups = None if allow.product_groups is None else frozenset(allow.product_groups)
    known = terms.get(asked, frozenset())
    terms[asked] = None if groups is None or known is None else known | groups


def ident(key: str) -> tuple[int, int]:
    """The first 96 bits of a customer's id of 64 hex digits, as 64 and 32 bits."""
    return int(key[:16], 16), int(key[16:24], 16)


def hash64(text: str) -> int:
    """64 bits of a party's id or hash. These are HMACs, so a prefix of one is as good as a digest of it."""
    if _HEX.fullmatch(text):
        return int(text[:16], 16)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
