"""Messages that are not state, kept for days: decisions, acknowledgements, audiences, reports."""

import hashlib
import json
from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from pydantic import Field, PrivateAttr, StringConstraints, ValidationError, model_validator

from kielto.errors import InvalidValueError
from kielto.events import lenient
from kielto.events.base import Event, EventPart, Hash, Ident, Moment, VersionText, few
from kielto.events.control import BUCKETS
from kielto.events.records import AllowedPoint
from kielto.events.words import PARTNERS_PURPOSES, Act, Channel, PointKind, Purpose, Reach
from kielto.strict_json import HalfPairError, loads
from kielto.validation import FieldRule, field_rules


class DecisionSubject(EventPart):
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
            raise ValueError("must have exactly one of id, number and point")
        if (self.point is None) != (self.point_kind is None):
            raise ValueError("must have point_kind if it has point, and only then")
        return self


class Decision(Event):
    """A decision that a company's own desk took, under its own unique `id`. Topic `<party>.decisions`."""

    kind: ClassVar[str] = "decision"
    id: UUID
    subject: DecisionSubject
    act: Act
    reach: Reach | None = None
    partner: Ident | None = None
    purposes: Annotated[tuple[Purpose, ...], few(50)] = Field(default=(), max_length=50)
    channels: Annotated[tuple[Channel, ...], few(50)] = Field(default=(), max_length=50)
    lifts: Annotated[tuple[str, ...], few(100)] = Field(
        default=(), max_length=100, description="The company's references, or its own ids."
    )
    by: Literal["person", "agent", "staff", "import"] = "person"
    route: str = Field(default="self_service", max_length=40)
    said_at: Moment
    evidence: str | None = Field(default=None, max_length=lenient.EVIDENCE)
    _broken: tuple[FieldRule, ...] = PrivateAttr(default=())

    @property
    def broken(self) -> tuple[FieldRule, ...]:
        """Of a *no* that was read leniently: the rules that it broke. Its fields are then the widest meant."""
        return self._broken

    @classmethod
    def read(cls, value: bytes) -> Self:
        """A *no* of which a word cannot be read is taken for the widest that it may mean (`lenient`); whoever
        writes one (`submit`) validates it strictly.
        """
        content = cls._content(value)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            if not lenient.is_no(content):
                raise
            return cls._widest(content, error)

    @staticmethod
    def _content(value: bytes) -> Any:
        """What is no Unicode in the words of a *no* does not refuse it."""
        try:
            return loads(value)
        except HalfPairError as half:
            if not lenient.is_no(half.content):
                raise
            return half.content

    @classmethod
    def _widest(cls, content: dict[str, Any], error: ValidationError) -> Self:
        broken: list[FieldRule] = []
        for _ in range(lenient.ATTEMPTS):
            broken += field_rules(error)
            content = lenient.widest(content, {str(e["loc"][0]) for e in error.errors() if e["loc"]})
            try:
                decision = cls.model_validate(content)
            except ValidationError as another:
                error = another
            else:
                decision._broken = tuple(broken)  # noqa: SLF001 - its own
                return decision
        raise error

    def must_make_sense(self) -> None:
        """Raises ValueError naming field and rule, for whoever writes it: fields that do not go together.

        No reader refuses a *no* for this: it holds for more than was said, rather than for nothing. So these
        rules are none of the model's own.
        """
        if broken := next((rule for holds, rule in self._rules() if not holds), None):
            raise InvalidValueError(broken)

    def content(self) -> str:
        """SHA-256 of what was said, in hex: two messages of one id that differ here are two decisions.

        Not of when it was said, nor of the evidence: whoever repeats a call may give them anew.
        """
        said = {
            "act": self.act,
            "subject": self.subject.model_dump(mode="json"),
            "reach": self.reach,
            "partner": self.partner,
            "purposes": sorted(self.purposes),
            "channels": sorted(self.channels),
            "lifts": [] if self.act.restricts else sorted(self.lifts),
            "by": self.by,
            "route": self.route,
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def _rules(self) -> list[tuple[bool, str]]:
        """Whether each holds, in the order in which they are told."""
        no, consent = self.act.restricts, self.act is Act.CONSENT
        reach = self.reach or (Reach.PARTNER if self.partner else None)
        if reach is None and self.act is Act.OPT_OUT:
            reach = Reach.PARTNERS
        one, about = reach is Reach.PARTNER, frozenset(self.purposes)
        some = one or reach is Reach.PARTNERS
        point = self.subject.point_kind in (None, PointKind.EMAIL, PointKind.PHONE)
        named = about.isdisjoint(PARTNERS_PURPOSES) or one
        return [
            (point, "subject.point_kind: must be email or phone"),
            (
                one == (self.partner is not None),
                "partner: must be given when the reach is partner, and only then",
            ),
            (
                not (some and about and about.isdisjoint(PARTNERS_PURPOSES)),
                "purposes: must include partner_marketing or disclosure when the reach is a partner",
            ),
            (not (no and self.lifts), "lifts: only a consent or a lifting lifts anything"),
            (no or self.by == "person", "by: only the person says yes"),
            (no or reach is not Reach.GROUP, "reach: a yes stays within the company"),
            (not consent or bool(about), "purposes: a consent names its purposes"),
            (not consent or bool(self.channels), "channels: a consent names its channels"),
            (
                not consent or named,
                "partner: a consent to partners' marketing or disclosure names the partner",
            ),
            (self.act is not Act.LIFTING or bool(self.lifts), "lifts: a lifting cites what it lifts"),
        ]


class Position(EventPart):
    """The next offset to read: everything below it is applied."""

    topic: str = Field(max_length=249)
    topic_id: UUID
    partition: int = Field(ge=0, lt=10_000)
    offset: int = Field(ge=0)


class StoreException(EventPart):
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
    positions: Annotated[tuple[Position, ...], few(200)] = Field(max_length=200)
    exceptions: Annotated[tuple[StoreException, ...], few(1000)] = Field(default=(), max_length=1000)
    claimed_at: Moment = Field(
        description="The subscriber's own clock: a claim. Proof uses the broker's append time."
    )


class StoreDigest(Event):
    """What a store holds, as a digest for each bucket of keys: the answer to `!reconcile`. Topic
    `company.<id>.acks`.

    A record's hash is the first 8 bytes of SHA-256 of `<first 24 digits of the key> <epoch>.<n>`, `u` if it is
    held as unreadable, a blank, and (with `content`) the record's value as it came. A bucket's digest is the
    sum of its records' hashes modulo 2^64; its number is the first ten bits of the key.
    """

    kind: ClassVar[str] = "store-digest"
    subscriber: Ident
    instance: UUID
    generation: UUID
    ask: UUID
    content: bool = Field(description="Whether the store keeps the records' bytes, and they are hashed.")
    positions: Annotated[tuple[Position, ...], few(200)] = Field(
        max_length=200, description="All below them was applied when the digests were begun."
    )
    digests: str = Field(
        pattern=r"^[0-9a-f]*$",
        min_length=16 * BUCKETS,
        max_length=16 * BUCKETS,
        description="16 hexadecimal digits for each of the 1024 buckets.",
    )


HeldRow = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{24,64} -?[0-9]+\.-?[0-9]+u? [0-9a-f]{16}$", max_length=200)
]


class StoreListing(Event):
    """All that a store holds of a range of keys, in answer to `!reconcile`. Topic `company.<id>.acks`."""

    kind: ClassVar[str] = "store-listing"
    subscriber: Ident
    instance: UUID
    generation: UUID
    ask: UUID
    content: bool
    positions: Annotated[tuple[Position, ...], few(200)] = Field(max_length=200)
    bucket: int = Field(ge=0, lt=BUCKETS)
    after: str = Field(default="", pattern=r"^[0-9a-f]{0,24}$", description="Keys above this one,")
    upto: str = Field(
        default="", pattern=r"^[0-9a-f]{0,24}$", description="and not above this one; empty: to the end."
    )
    rows: Annotated[tuple[HeldRow, ...], few(1000)] = Field(
        max_length=1000,
        description="`<key, or its first 24 digits> <epoch>.<n>[u] <hash, 16 digits>`, by key; "
        "with a key outside the bucket or those bounds the message is refused.",
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
    purpose: Purpose | None = None
    at: Moment
    reported_at: Moment | None = Field(
        default=None, description="When the broker appended the party's report: it was sent by then."
    )
    point: Hash | None = Field(default=None, description="The point that was used, where the report says it.")


class Unaddressed(Event):
    """A delivery to somebody whom the campaign was never given. Topic `marketing.events`, our services only."""

    kind: ClassVar[str] = "unaddressed"
    id: UUID
    party: str = Field(
        pattern=r"^(company|partner)\.[a-z][a-z0-9-]{0,39}$",
        description="Whose report it is, and whose id of the customer `subject` is.",
    )
    subject: Hash
    company: Ident
    partner: Ident | None = None
    campaign: UUID
    channel: Channel
    purpose: Purpose
    at: Moment
    reported_at: Moment | None = Field(
        default=None, description="When the broker appended the party's report: it was sent by then."
    )
    point: Hash | None = Field(default=None, description="The point that was used, where the report says it.")


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
