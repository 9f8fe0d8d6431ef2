"""The question that a sender asks the gate, and the answer."""

from dataclasses import dataclass
from enum import StrEnum

from kielto.events.words import Channel, Mode, Purpose


class Reason(StrEnum):
    """The reason of an answer. The first five mean that the gate is shut: ask again later."""

    STARTING = "starting"
    STALE = "stale"
    SNAPSHOT_INCOMPLETE = "snapshot-incomplete"
    PARTITION_SHUT = "partition-shut"
    WRONG_KEYS = "wrong-keys"
    """The point keys differ from the group's, so that nobody would be found by address or number."""
    UNKNOWN = "unknown"
    DENIED = "denied"
    BAD_QUESTION = "bad-question"
    ALLOWED = "allowed"
    NOT_CLEARED = "not-cleared"
    """There is no clearance: it was not requested, it was refused, or its answer was lost."""
    CLEARANCE_OVER = "clearance-over"
    """The clearance has expired: request another one."""


@dataclass(frozen=True, slots=True)
class Question:
    """Whether somebody may be marketed to on a channel, for a purpose.

    `address` is the address that the message goes to. With `customer` (64 hex digits) or `number` (the company's own
    customer number) the permission of that customer counts, otherwise those of all customers who have the address.
    Without an address every contact point of the channel must permit it. For post, door and channels whose addresses
    have no normal form, `address` is the point itself (64 hex digits). `partner_marketing` needs `partner` and `mode`.
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
    """True in a condition when it is allowed. `detail` explains the reason to people, without personal data."""

    allowed: bool
    reason: Reason
    detail: str = ""

    def __bool__(self) -> bool:
        return self.allowed
