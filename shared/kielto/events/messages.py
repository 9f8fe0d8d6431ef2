"""Messages that are not state, kept for days: decisions, acknowledgements, audiences, reports, changes."""

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import Field, model_validator

from kielto.events.base import Event, Hash, Ident, Moment, Part, VersionText
from kielto.events.records import AllowedPoint
from kielto.events.words import Act, Channel, PointKind, Purpose, Reach


class DecisionSubject(Part):
    """Whom a company's decision is about: exactly one of its customer's id, a customer number, a point.

    Number and point are canonical digests (`kielto.events.digests.digest_of`), so a *no* from someone whom
    we do not know yet is kept, and binds when they come.
    """

    id: Hash | None = None
    number: Hash | None = None
    point: Hash | None = None
    point_kind: PointKind | None = None

    @model_validator(mode="after")
    def _one(self) -> "DecisionSubject":
        if sum(x is not None for x in (self.id, self.number, self.point)) != 1:
            raise ValueError("exactly one of id, number, point")
        if (self.point is None) != (self.point_kind is None):
            raise ValueError("point_kind goes with point")
        return self


class Decision(Event):
    """A decision that a company's own desk took, under its own unique `id`. Topic `<party>.decisions`."""

    kind: ClassVar[str] = "decision"
    id: UUID
    subject: DecisionSubject
    act: Act
    reach: Reach | None = None
    partner: Ident | None = None
    purposes: tuple[Purpose, ...] = ()
    channels: tuple[Channel, ...] = ()
    lifts: tuple[str, ...] = Field(
        default=(), max_length=100, description="The company's references, or its own ids."
    )
    by: Literal["person", "agent", "staff", "import"] = "person"
    route: str = Field(default="self_service", max_length=40)
    said_at: Moment
    evidence: str | None = Field(default=None, max_length=2000)


class Position(Part):
    """The next offset to read: everything below it is applied."""

    topic: str = Field(max_length=249)
    topic_id: UUID
    partition: int = Field(ge=0, lt=10_000)
    offset: int = Field(ge=0)


class StoreException(Part):
    """A record below the position that could not be read; its key is denied until a readable one comes."""

    topic: str = Field(max_length=249)
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    key: Hash | None = None
    version: VersionText | None = None
    reason: str = Field(max_length=200)


class Acknowledgement(Event):
    """What one instance of a subscriber has *applied*, from its store. Topic `company.<id>.acks`."""

    kind: ClassVar[str] = "acknowledgement"
    subscriber: Ident
    instance: UUID
    generation: UUID = Field(
        description="Identity of the store's contents; new when it was emptied or restored."
    )
    positions: tuple[Position, ...] = Field(max_length=200)
    exceptions: tuple[StoreException, ...] = Field(default=(), max_length=1000)
    claimed_at: Moment = Field(
        description="The subscriber's own clock: a claim. Proof uses the broker's append time."
    )


class Audience(Event):
    """Whom a campaign may address, or a recall. Topic `company.<id>.audiences`."""

    kind: ClassVar[str] = "audience"
    campaign: UUID
    action: Literal["address", "recall"]
    subject: Hash
    points: tuple[AllowedPoint, ...] = ()
    purpose: Purpose
    partner: Ident | None = None
    mode: str | None = None
    channel: Channel
    product_group: str | None = None
    at: Moment


class MarketingEvent(Event):
    """A delivery, a response or a disclosure to a partner. Topic `marketing.events`, our services only."""

    kind: ClassVar[str] = "marketing-event"
    id: UUID
    what: Literal["delivery", "response", "disclosure"]
    customer: UUID
    company: Ident
    partner: Ident | None = None
    campaign: UUID | None = None
    channel: Channel | None = None
    at: Moment


class Report(Event):
    """A company's report of a delivery or a response. Topic `company.<id>.reports`."""

    kind: ClassVar[str] = "report"
    id: UUID
    what: Literal["delivery", "response"]
    campaign: UUID
    subject: Hash
    point: str | None = Field(default=None, max_length=64)
    channel: Channel
    at: Moment


class Change(Event):
    """A company's change to one of its customers. Topic `company.<id>.changes`."""

    kind: ClassVar[str] = "change"
    id: UUID
    subject: Hash | None = None
    number: str | None = Field(default=None, max_length=64)
    base: VersionText | None = Field(
        default=None, description="The version it was made upon; older ones are merged by field."
    )
    fields: dict[str, str | None] = Field(max_length=50)
    at: Moment
