"""Results: what consents did with each message that a party wrote to its decisions topic."""

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from kielto.events.base import Event, EventPart, Hash, Moment


class ResultStatus(StrEnum):
    """What consents did. It does not reveal whether the subject is another company's customer or unknown."""

    TAKEN = "taken"
    WIDENED = "widened"
    """Accepted. What could not be read got the broadest meaning of a *no*; `reasons` has the broken rules."""
    WAITING = "waiting"
    """A *yes* about somebody who is not a customer of the party yet. It counts if they become one within 7 days."""
    HELD = "held"
    """A *no* above the party's rate limit. It denies at the party alone until the group releases it."""
    REFUSED = "refused"
    """Without effect; `reasons` says why."""
    REPEATED = "repeated"
    """Nothing new: the same decision was accepted before, or many *no*s of the party already say the same."""


class ResultReason(EventPart):
    """One rule that the message broke, without its content. `field` is a path in the message (`subject.number`)."""

    field: str = Field(max_length=60)
    rule: str = Field(max_length=200)


class DecisionResult(Event):
    """What consents did with one message of `<party>.decisions`. Topic `<party>.results`, keyed by the party's own id.

    There is at least one for each message; the last one in the topic holds. `decision` is the party's reference of the
    decision (64 hex digits), to ask for whereabouts and proof and to cite in a lifting; absent when refused.
    """

    kind: ClassVar[str] = "decision-result"
    id: UUID | None = Field(
        default=None, description="The party's own id of the decision. Absent when it could not be read."
    )
    partition: int = Field(
        ge=0, lt=10_000, description="The partition of the message on the decisions topic."
    )
    offset: int = Field(ge=0)
    status: ResultStatus
    decision: Hash | None = None
    reasons: tuple[ResultReason, ...] = Field(default=(), max_length=50)
    at: Moment = Field(description="When consents decided this, by its own clock.")
