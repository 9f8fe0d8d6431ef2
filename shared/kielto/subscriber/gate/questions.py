"""What a sender asks, and what it is told."""

from dataclasses import dataclass
from enum import StrEnum

from kielto.events.words import Channel, Mode, Purpose


class Reason(StrEnum):
    """Why an answer is what it is. The first five mean that the gate is shut: ask again later."""

    STARTING = "starting"
    STALE = "stale"
    SNAPSHOT_INCOMPLETE = "snapshot-incomplete"
    PARTITION_SHUT = "partition-shut"
    WRONG_KEYS = "wrong-keys"
    """The point keys are not those that the group hashes with, so nobody would be found by address or number."""
    UNKNOWN = "unknown"
    DENIED = "denied"
    BAD_QUESTION = "bad-question"
    ALLOWED = "allowed"
    NOT_CLEARED = "not-cleared"
    """No clearance was got: it was not asked for, refused, or its answer was lost."""
    CLEARANCE_OVER = "clearance-over"
    """It has run out: ask for another one."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether one may be marketed to on a channel, for a purpose.

    Give the very `address` that will be used; with `customer` (64 hex digits) or `number` (the company's
    own customer number) only that customer's permission counts, else that of every customer who has the
    address. Without an address every point of the channel has to permit it. For post and door, and for
    channels whose addresses have no normal form, `address` is the point itself (64 hex digits). Partners'
    marketing needs `partner` and `mode`.
    """

    purpose: Purpose | str
    channel: Channel | str
    customer: str | None = None
    number: str | None = None
    address: str | None = None
    product_group: str | None = None
    partner: str | None = None
    mode: Mode | str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """True in a condition when allowed. `detail` says more for people, and holds nothing personal."""

    allowed: bool
    reason: Reason
    detail: str = ""

    def __bool__(self) -> bool:
        return self.allowed
