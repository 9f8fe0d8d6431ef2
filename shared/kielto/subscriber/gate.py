"""`may()`: what the store permits, now. Not allowed unless everything says so. Pure but for the clocks
given.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kielto.events.digests import InvalidContactPoint, digest_of, point_of
from kielto.events.topics import PARTITIONS
from kielto.events.words import KIND_OF, PointKind, Purpose
from kielto.subscriber import batch
from kielto.subscriber.columns import Many
from kielto.subscriber.content import Shape, Terms, hash64, ident
from kielto.subscriber.denials import Denials
from kielto.subscriber.follower import Follower
from kielto.subscriber.freshness import clock
from kielto.subscriber.questions import Answer, Question, Reason

UNTIL_MARGIN_SECONDS = 60.0
"""A permission that ends is taken to have ended this much earlier: the subscriber's clock is only a claim."""
_ID = re.compile(r"[0-9a-f]{64}")


class Party(NamedTuple):
    """Whose topics are followed: `company.<id>` or `partner.<id>`; its point keys by generation, and its
    country.
    """

    name: str
    point_keys: Mapping[int, bytes]
    country: str = "FI"

    @property
    def ident(self) -> str:
        return self.name.partition(".")[2]

    def hashes(self, kind: PointKind, value: str) -> frozenset[int]:
        """Of a number or address under every generation of the key. Raises InvalidContactPoint."""
        return self.hashes_of(digest_of(kind, value, self.country))

    def hashes_of(self, canonical: bytes) -> frozenset[int]:
        return frozenset(hash64(point_of(key, canonical)) for key in self.point_keys.values())


class _Asked(NamedTuple):
    """A question in the store's terms."""

    rows: dict[int, list[int]]
    """Each row that is asked about, with the slots of the address; none: all its points of the channel."""
    hashes: frozenset[int]
    """Of the number and address in the question."""
    whole: bool
    """Whether someone unseen could hold the address too, so that every partition must be open."""


class Gate:
    """Answers from a follower and the local denials. `now` and `today`: for tests."""

    def __init__(
        self,
        party: Party,
        follower: Follower,
        denials: Denials,
        now: Callable[[], float] = clock,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._party, self._follower, self._denials = party, follower, denials
        self._now, self._today = now, today

    def shut(self) -> Reason | None:
        """Why the gate is not open for everyone, or None."""
        return self._shut(range(PARTITIONS))

    def partitions(self) -> list[tuple[Reason | None, float]]:
        """Of each partition: why its gate is shut, or None; and the age of its view in seconds."""
        now = self._now()
        shut = [self._follower.gate(partition, now) for partition in range(PARTITIONS)]
        return [
            (Reason(reason) if reason else None, self._follower.age(partition, now))
            for partition, reason in enumerate(shut)
        ]

    def _shut(self, partitions: "range | set[int]") -> Reason | None:
        now = self._now()
        for partition in partitions:
            if reason := self._follower.gate(partition, now):
                return Reason(reason)
        return None

    def may(self, question: Question) -> Answer:
        terms = self._terms(question)
        if isinstance(terms, Answer):
            return terms
        try:
            asked = self._look_up(question)
        except InvalidContactPoint as error:
            return _bad(str(error))
        if asked is None:
            return _bad("customer, number or address: one at least, of the right form")
        partitions = {self._follower.image.partition(row) for row in asked.rows}
        if reason := self._shut(range(PARTITIONS) if asked.whole or not partitions else partitions):
            return Answer(False, reason)
        if len(self._denials) and self._denials.deny(
            self._about(question, asked), *terms[:2], question.channel
        ):
            return Answer(False, Reason.DENIED, "a decision was given here")
        if not asked.rows:
            return Answer(False, Reason.UNKNOWN)
        for row, slots in asked.rows.items():
            if refusal := self._refusal(row, slots, terms, question):
                return Answer(False, Reason.DENIED, refusal)
        return Answer(True, Reason.ALLOWED)

    def may_customers(self, question: Question, customers: bytes) -> Many:
        """`may` of the question for each customer, by ids of 32 bytes; codes are places in `batch.CODES`.
        Raises ValueError.
        """
        if any(given is not None for given in (question.customer, question.number, question.address)):
            raise ValueError("customer, number, address: none of them, the customers are given apart")
        terms = self._terms(question)
        if isinstance(terms, Answer):
            raise ValueError(terms.detail)  # noqa: TRY004 - a value is wrong, no type
        image, now = self._follower.image, self._now()
        shut = [self._follower.gate(partition, now) for partition in range(PARTITIONS)]
        ended = [row for row in list(image.until) if self._has_ended(row)]
        permits = batch.permits(list(image.shapes), question.channel, terms, question.product_group)
        reasons = [None if reason is None else Reason(reason) for reason in shut]
        codes = batch.codes(self._follower, reasons, permits, np.array(ended, np.int64), customers)
        if len(self._denials):
            self._deny_here(question, customers, codes)
        return codes

    def _deny_here(self, question: Question, customers: bytes, codes: Many) -> None:
        """Decisions that were given here are few, but each may be about anyone: ask `may` where it could
        matter.
        """
        for at in np.flatnonzero(np.isin(codes, _OPEN)).tolist():
            one = replace(question, customer=customers[32 * at : 32 * at + 32].hex())
            codes[at] = batch.CODES.index(self.may(one).reason)

    def _terms(self, question: Question) -> Terms | Answer:
        partner, mode = question.partner, question.mode
        if question.purpose == Purpose.PARTNER_MARKETING:
            if partner is None and self._party.name.startswith("partner."):
                partner = self._party.ident
            if partner is None or mode is None:
                return _bad("partner, mode: partners' marketing needs both")
        return str(question.purpose), partner, None if mode is None else str(mode)

    def _look_up(self, question: Question) -> _Asked | None:
        """Raises InvalidContactPoint."""
        image = self._follower.image
        address = None if question.address is None else self._address(question.channel, question.address)
        holders: dict[int, list[int]] = {}
        for hash_ in address or ():
            for row, slot in image.holders(hash_):
                if slot >= image.shape(row).numbers:
                    holders.setdefault(row, []).append(slot)
        hashes = address or frozenset()
        numbers: frozenset[int] = frozenset()
        if question.number is not None:
            numbers = self._party.hashes(PointKind.NUMBER, f"{self._party.ident}:{question.number}")
            hashes |= numbers
        if question.customer is not None:
            if not _ID.fullmatch(question.customer):
                return None
            found = image.find(question.customer)
            rows, whole = [] if found is None else [found], found is None
        elif question.number is not None:
            holding = [holder for hash_ in numbers for holder in image.holders(hash_)]
            rows = list({row for row, slot in holding if slot < image.shape(row).numbers})
            whole = True
        elif address is not None:
            return _Asked(holders, hashes, True)
        else:
            return None
        return _Asked({row: holders.get(row, [_NO_SLOT]) if address else [] for row in rows}, hashes, whole)

    def _address(self, channel: str, address: str) -> frozenset[int]:
        kind = KIND_OF.get(channel)  # type: ignore[call-overload]
        if kind in (PointKind.EMAIL, PointKind.PHONE):
            return self._party.hashes(kind, address)
        if not _ID.fullmatch(address):
            raise InvalidContactPoint(f"{channel}: the address is a point, 64 hexadecimal digits")
        return frozenset((hash64(address),))

    def _about(self, question: Question, asked: _Asked) -> Iterator[object]:
        """Wide: a decision about a number or address denies whoever has it, until the group says whom it
        binds.
        """
        image = self._follower.image
        yield from asked.hashes
        if question.customer is not None:
            yield ident(question.customer)
        for row in asked.rows:
            yield image.ident(row)
            hashes = image.hashes(row)
            yield from hashes
            # Whoever was merged is known by two ids, whose records carry the same numbers: with a partner, who has
            # none, the same points.
            for hash_ in hashes[: image.shape(row).numbers] or hashes:
                yield from (image.ident(same) for same, _ in image.holders(hash_))

    def _has_ended(self, row: int) -> bool:
        until = self._follower.image.until.get(row)
        now = max(self._today(), self._follower.latest_beat)
        return until is not None and now >= until - UNTIL_MARGIN_SECONDS

    def _refusal(self, row: int, slots: list[int], terms: Terms, question: Question) -> str | None:
        """Why this customer's record does not permit it, or None when it does."""
        image = self._follower.image
        if image.unreadable(row):
            return "the record cannot be read"
        if self._follower.swept(row):
            return "the register no longer names the customer"
        if self._has_ended(row):
            return "the permission has ended"
        shape = image.shape(row)
        allowed = [
            _groups(shape, slot, question.channel, terms)
            for slot in slots or _listed(shape, question.channel)
        ]
        if not allowed or any(groups is _NOTHING for groups in allowed):
            return "nothing permits it"
        if any(groups is not None and question.product_group not in groups for groups in allowed):
            return "permitted for other product groups only"
        return None


_OPEN = [batch.CODES.index(reason) for reason in (Reason.ALLOWED, Reason.UNKNOWN)]
_NOTHING: frozenset[str] = frozenset(("",))
_NO_SLOT = -1
"""The customer does not have the address."""


def _listed(shape: Shape, channel: str) -> list[int]:
    return [shape.numbers + i for i, point in enumerate(shape.points) if channel in point]


def _groups(shape: Shape, slot: int, channel: str, terms: Terms) -> frozenset[str] | None:
    """The product groups it is allowed for; None: all; `_NOTHING`: it is not allowed."""
    if slot == _NO_SLOT:
        return _NOTHING
    return shape.points[slot - shape.numbers].get(channel, {}).get(terms, _NOTHING)


def _bad(detail: str) -> Answer:
    return Answer(False, Reason.BAD_QUESTION, detail)
