"""What became of a message that a party sent: the receipt of its decisions topic. Kept for days."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from kielto.events.base import Event, EventPart, Hash, Moment


class ResultStatus(StrEnum):
    """Says nothing of whether the subject is known: a stranger and another company's customer look alike."""

    TAKEN = "taken"
    WIDENED = "widened"
    """Taken; what could not be understood was taken for the widest *no* that it may mean: `reasons`."""
    WAITING = "waiting"
    """A *yes* about nobody whom the party knows yet: it counts when they come, within 7 days."""
    HELD = "held"
    """A *no* above the party's rate: it denies at the party alone until somebody of the group releases it."""
    REFUSED = "refused"
    """It has no effect: `reasons`."""
    REPEATED = "repeated"
    """Its id was taken before and said the same, or it is a *no* that many of the party's say already: nothing new."""


class ResultReason(EventPart):
    """One rule that a message broke, never its content. `field` is a path in the message (`subject.number`)."""

    field: str = Field(max_length=60)
    rule: str = Field(max_length=200)


class DecisionResult(Event):
    """What became of one message of `<party>.decisions`. Topic `<party>.results`, keyed by the party's own id.

    Sent once or more for each message; the newest by the topic's order holds. `decision` is the party's reference
    (64 hex digits) by which it asks for whereabouts and proof, and which a lifting cites; absent when refused.
    """

    kind: ClassVar[str] = "decision-result"
    id: UUID | None = Field(
        default=None, description="The party's own id of the decision; absent when it could not be read."
    )
    partition: int = Field(ge=0, lt=10_000, description="Where the message stands on the decisions topic.")
    offset: int = Field(ge=0)
    status: ResultStatus
    decision: Hash | None = None
    reasons: tuple[ResultReason, ...] = Field(default=(), max_length=50)
    at: Moment = Field(description="When consents said so, by its own clock.")
