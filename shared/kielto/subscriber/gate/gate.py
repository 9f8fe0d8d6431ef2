"""`Gate.may`: answers a question from the local copy of the permissions. Pure but for the given clocks."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from kielto.clock import clock
from kielto.errors import InvalidValueError
from kielto.events.control import AboutParty, Beat
from kielto.events.digests import InvalidContactPointError, check_of, digest_of, point_of
from kielto.events.party import Party
from kielto.events.topics import PARTITIONS
from kielto.events.words import KIND_OF, Channel, Mode, PointKind, Purpose
from kielto.subscriber.columnar.bulk_check import BulkQuestion, answer
from kielto.subscriber.gate.local_denials import Denials
from kielto.subscriber.gate.permits import PermitRecord, RecordQuestion, ended, permits, shape_refusal
from kielto.subscriber.gate.questions import Answer, Question, Reason
from kielto.subscriber.records.content import Terms, hash64, ident
from kielto.subscriber.replica.follower import Follower

_WORDS = {
    name: dict.fromkeys(words) for name, words in (("purpose", Purpose), ("channel", Channel), ("mode", Mode))
}
_TEXTS = ("customer", "number", "address", "partner", "product_group")
_ID = re.compile(r"[0-9a-f]{64}")
CODES = tuple(Reason)
"""What a byte of `Gate.may_customers` says: the place of its reason here."""
_CODE = {reason: at for at, reason in enumerate(CODES)}


class FollowedParty(NamedTuple):
    """The party whose topics are followed, its point keys by generation, and its country (ISO 3166 alpha-2)."""

    name: Party
    point_keys: Mapping[int, bytes]
    country: str = "FI"

    def hashes(self, kind: PointKind, value: str) -> frozenset[int]:
        """The hashes of a number or address under each generation of the key. Raises InvalidContactPointError."""
        return self.hashes_of(digest_of(kind, value, self.country))

    def hashes_of(self, canonical: bytes) -> frozenset[int]:
        return frozenset(hash64(point_of(key, canonical)) for key in self.point_keys.values())

    def wrong_keys(self, about: AboutParty) -> str | None:
        """How the point keys differ from the group's, by the check values in its beats; None: they do not."""
        for generation, check in sorted(about.point_keys.items()):
            if generation not in self.point_keys:
                return f"point_keys: generation {generation} is missing; fetch the party's keys file again"
            if check_of(self.point_keys[generation]) != check:
                return (
                    f"point_keys: generation {generation} differs from the group's key: it is another party's, "
                    "another installation's, or truncated; fetch the party's keys file again"
                )
        return None


class _FoundCustomers(NamedTuple):
    """The customers that a question is about."""

    rows: list[int]
    address: frozenset[int] | None
    hashes: frozenset[int]
    """The hashes of the number and address in the question."""
    whole: bool
    """Whether a customer who is not in the store yet may have the address, so that every partition must be open."""


class Gate:
    """Answers from a follower and the local denials.

    `now` gives the time by `clock`, `today` in seconds since 1970.
    """

    def __init__(
        self,
        party: FollowedParty,
        follower: Follower,
        denials: Denials,
        now: Callable[[], float] = clock,
        today: Callable[[], float] = time.time,
    ) -> None:
        self._party, self._follower, self._denials = party, follower, denials
        self._now, self._today = now, today
        self._checked: tuple[Beat, str | None] | None = None

    def shut(self) -> Reason | None:
        """Why the gate is not open for everyone, or None."""
        return self._shut(range(PARTITIONS))

    def partitions(self) -> list[tuple[Reason | None, float]]:
        """For each partition: why its gate is shut, or None; and the age of its view in seconds."""
        now = self._now()
        return [
            (self._shut([partition]), self._follower.age(partition, now)) for partition in range(PARTITIONS)
        ]

    def wrong_keys(self) -> str | None:
        """How the point keys differ from the group's; None: they do not, or no beat has shown it yet."""
        told = self._follower.told
        if told is None or told.about is None:
            return None
        if self._checked is None or self._checked[0] is not told:
            self._checked = told, self._party.wrong_keys(told.about)
        return self._checked[1]

    def _shut(self, partitions: Iterable[int]) -> Reason | None:
        if self.wrong_keys():
            return Reason.WRONG_KEYS
        now = self._now()
        for partition in partitions:
            if reason := self._follower.gate(partition, now):
                return Reason(reason)
        return None

    def may(self, question: Question) -> Answer:
        """Answer whether this may be said now. Never raises."""
        terms = self._terms(question)
        if isinstance(terms, Answer):
            return terms
        try:
            found = self._look_up(question)
        except InvalidContactPointError as error:
            return _bad(str(error))
        if found is None:
            return _bad("customer, number or address: give at least one; a customer is 64 hexadecimal digits")
        partitions = {self._follower.image.partition(row) for row in found.rows}
        if reason := self._shut(range(PARTITIONS) if found.whole or not partitions else partitions):
            return Answer(False, reason)
        if len(self._denials) and self._denials.deny(
            self._about(question, found), *terms[:2], question.channel
        ):
            return Answer(False, Reason.DENIED, "a decision that was submitted here denies it")
        asked = RecordQuestion(question.channel, terms, question.product_group, found.address)
        return permits(map(self._held, found.rows), asked)

    def may_customers(self, question: Question, customers: bytes) -> bytearray:
        """Answer `may` for one question about each customer, by ids of 32 bytes; each byte is a place in `CODES`.

        Raises ValueError.
        """
        if any(given is not None for given in (question.customer, question.number, question.address)):
            raise InvalidValueError(
                "customer, number, address: leave them out, since `customers` names the customers"
            )
        terms = self._terms(question)
        if isinstance(terms, Answer):
            raise InvalidValueError(terms.detail)
        image, asked = self._follower.image, RecordQuestion(question.channel, terms, question.product_group)
        reasons = [self._shut([partition]) for partition in range(PARTITIONS)]
        snapshots = self._follower.state.snapshots
        bulk = BulkQuestion(
            _CODE[Reason.ALLOWED],
            _CODE[Reason.DENIED],
            _CODE[Reason.UNKNOWN],
            [None if reason is None else _CODE[reason] for reason in reasons],
            [shape_refusal(shape, asked) is None for shape in image.shapes],
            [row for row in list(image.until) if self._has_ended(row)],
            {at: (snapshot.begin_express, snapshot.begin_bulk) for at, snapshot in snapshots.items()},
        )
        codes = answer(image, bulk, customers)
        if len(self._denials):
            self._deny_here(question, customers, codes)
        return codes

    def _deny_here(self, question: Question, customers: bytes, codes: bytearray) -> None:
        """Ask `may` again for those whom a decision that was submitted here could deny: it may be about anyone."""
        for at, code in enumerate(codes):
            if CODES[code] in (Reason.ALLOWED, Reason.UNKNOWN):
                one = replace(question, customer=customers[32 * at : 32 * at + 32].hex())
                codes[at] = _CODE[self.may(one).reason]

    def _terms(self, question: Question) -> Terms | Answer:
        partner, mode = question.partner, question.mode
        if wrong := self._misspelt(question):
            return _bad(wrong)
        if question.purpose == Purpose.PARTNER_MARKETING:
            if partner is None and not self._party.name.is_company:
                partner = self._party.name.id
            if partner is None or mode is None:
                return _bad("partner, mode: give both for partner_marketing")
        return str(question.purpose), partner, None if mode is None else str(mode)

    def _misspelt(self, question: Question) -> str | None:
        """What is wrong with the words of the question. Otherwise an unknown word would be denied in silence."""
        for field, words in _WORDS.items():
            given = getattr(question, field)
            if given is None and field == "mode":
                continue
            if not isinstance(given, str) or given not in words:
                return f"{field}: must be one of {', '.join(words)}"
        for field in _TEXTS:
            if not isinstance(getattr(question, field), str | None):
                return f"{field}: must be text"
        told = self._follower.told
        about = None if told is None else told.about
        if question.partner is not None and about is not None and question.partner not in about.partners:
            return f"partner: must be one of {', '.join(about.partners) or 'none, since the party has no partner'}"
        return None

    def _look_up(self, question: Question) -> _FoundCustomers | None:
        """Raises InvalidContactPointError."""
        address = None if question.address is None else self._address(question.channel, question.address)
        hashes = address or frozenset()
        numbers: frozenset[int] = frozenset()
        if question.number is not None:
            numbers = self._party.hashes(PointKind.NUMBER, f"{self._party.name.id}:{question.number}")
            hashes |= numbers
        if question.customer is not None:
            if not _ID.fullmatch(question.customer):
                return None
            row = self._follower.image.find(question.customer)
            return _FoundCustomers([] if row is None else [row], address, hashes, row is None)
        if question.number is not None:
            return _FoundCustomers(self._holders(numbers, of_number=True), address, hashes, True)
        if address is not None:
            return _FoundCustomers(self._holders(address, of_number=False), address, hashes, True)
        return None

    def _holders(self, hashes: frozenset[int], *, of_number: bool) -> list[int]:
        """Rows of the customers who have a number or a contact point with one of these hashes."""
        image = self._follower.image
        found = (holder for hash_ in hashes for holder in image.holders(hash_))
        return list({row for row, slot in found if (slot < image.shape(row).numbers) is of_number})

    def _address(self, channel: str, address: str) -> frozenset[int]:
        kind = KIND_OF.get(channel)  # type: ignore[call-overload]
        if kind in (PointKind.EMAIL, PointKind.PHONE):
            return self._party.hashes(kind, address)
        if not _ID.fullmatch(address):
            raise InvalidContactPointError(
                f"{channel}: the address must be the point itself, 64 hexadecimal digits"
            )
        return frozenset((hash64(address),))

    def _about(self, question: Question, found: _FoundCustomers) -> Iterator[object]:
        """The ids and hashes by which a local denial may be about this question.

        A decision about a number or address denies everybody who has it, until the group says whom it binds.
        """
        image = self._follower.image
        yield from found.hashes
        if question.customer is not None:
            yield ident(question.customer)
        for row in found.rows:
            yield image.ident(row)
            hashes = image.hashes(row)
            yield from hashes
            # Whoever was merged is known by two ids, whose records carry the same numbers: with a partner, who has
            # none, the same points.
            for hash_ in hashes[: image.shape(row).numbers] or hashes:
                yield from (image.ident(same) for same, _ in image.holders(hash_))

    def _has_ended(self, row: int) -> bool:
        return ended(self._follower.image.until.get(row), max(self._today(), self._follower.latest_beat))

    def _held(self, row: int) -> PermitRecord:
        image, refusal = self._follower.image, None
        if image.unreadable(row):
            refusal = "the record cannot be read"
        elif self._follower.swept(row):
            refusal = "the register no longer names the customer"
        elif self._has_ended(row):
            refusal = "the permission has ended"
        return PermitRecord(image.shape(row), image.hashes(row), refusal)


def _bad(detail: str) -> Answer:
    return Answer(False, Reason.BAD_QUESTION, detail)
