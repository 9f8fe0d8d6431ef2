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
    """Whom a decision is about: exactly one of the company's id of its customer, a customer number and a contact point.

    `number` and `point` are canonical digests: SHA-256(kind, 0x00, normalised value). So a *no* of somebody who is not
    known yet is kept, and binds as soon as they are a customer.
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
    """A decision that a person gave to a company or partner, under the party's own unique `id`. Topic
    `<party>.decisions`.
    """

    kind: ClassVar[str] = "decision"
    id: UUID
    subject: DecisionSubject
    act: Act
    reach: Reach | None = None
    partner: Ident | None = None
    purposes: Annotated[tuple[Purpose, ...], few(50)] = Field(default=(), max_length=50)
    channels: Annotated[tuple[Channel, ...], few(50)] = Field(default=(), max_length=50)
    lifts: Annotated[tuple[str, ...], few(100)] = Field(
        default=(),
        max_length=100,
        description="What it lifts: references of Kielto, or the party's own ids of decisions.",
    )
    by: Literal["person", "agent", "staff", "import"] = "person"
    route: str = Field(default="self_service", max_length=40)
    said_at: Moment
    evidence: str | None = Field(default=None, max_length=lenient.EVIDENCE)
    _broken: tuple[FieldRule, ...] = PrivateAttr(default=())

    @property
    def broken(self) -> tuple[FieldRule, ...]:
        """The rules that a *no* broke. Its fields then have the broadest meaning."""
        return self._broken

    @classmethod
    def read(cls, value: bytes) -> Self:
        """Read a decision. A *no* with a field that cannot be read gets the broadest meaning (`lenient`).

        `Subscriber.submit` validates strictly instead.
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
        """The JSON of a decision. Text that is not Unicode does not make a *no* unreadable."""
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
        """Check, for the writer, that the fields fit together. Raises InvalidValueError with the field and the rule.

        The model does not check this, because no reader refuses a *no* for it: a *no* rather holds for more than was
        said than for nothing.
        """
        if broken := next((rule for holds, rule in self._rules() if not holds), None):
            raise InvalidValueError(broken)

    def content(self) -> str:
        """SHA-256 of what was said, in hex: two messages with one id that differ here are two decisions.

        It leaves out `said_at` and `evidence`, which a repeated call may give differently.
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
            (not (no and self.lifts), "lifts: must be empty except for a consent or a lifting"),
            (no or self.by == "person", "by: must be person for a consent or a lifting"),
            (no or reach is not Reach.GROUP, "reach: must not be group for a consent or a lifting"),
            (not consent or bool(about), "purposes: must be given for a consent"),
            (not consent or bool(self.channels), "channels: must be given for a consent"),
            (
                not consent or named,
                "partner: must be given for a consent to partner_marketing or disclosure",
            ),
            (self.act is not Act.LIFTING or bool(self.lifts), "lifts: must be given for a lifting"),
        ]


class Position(EventPart):
    """The next offset of a partition to read. Everything below it is applied."""

    topic: str = Field(max_length=249)
    topic_id: UUID
    partition: int = Field(ge=0, lt=10_000)
    offset: int = Field(ge=0)


class StoreException(EventPart):
    """A record below the position that could not be read. Its key is denied until a readable record comes."""

    topic: str = Field(max_length=249)
    partition: int = Field(ge=0)
    offset: int = Field(ge=0)
    key: Hash | None = None
    version: VersionText | None = None
    reason: str = Field(max_length=200)


class _FromStore(Event):
    """What every message about the store of one instance of a subscriber says."""

    subscriber: Ident
    instance: UUID
    generation: UUID = Field(
        description="Identity of the store's contents. It changes when the store was emptied or restored."
    )
    positions: Annotated[tuple[Position, ...], few(200)] = Field(
        max_length=200, description="Everything below these was applied before the message was made."
    )


class Acknowledgement(_FromStore):
    """What the store of one instance of a subscriber holds. Topic `<party>.acks`."""

    kind: ClassVar[str] = "acknowledgement"
    exceptions: Annotated[tuple[StoreException, ...], few(1000)] = Field(default=(), max_length=1000)
    claimed_at: Moment = Field(
        description="By the subscriber's own clock, for information. Proof uses the broker's append time."
    )


PROGRESS_SECONDS = 5.0
"""The longest pause between two acknowledgements of an instance that is alive."""


def progress_seconds(stale_seconds: float) -> float:
    """The longest pause between two acknowledgements: a third of `stale_seconds` at most, so that two may be lost."""
    return min(PROGRESS_SECONDS, stale_seconds / 3)


class _Reconciled(_FromStore):
    """What both answers to `!reconcile` say."""

    ask: UUID
    content: bool = Field(
        description="Whether the store keeps the values of records, so that the hashes include them."
    )


class StoreDigest(_Reconciled):
    """A digest of what a store holds for each bucket of keys, in answer to `!reconcile`. Topic `<party>.acks`.

    The hash of a record is the first 8 bytes of SHA-256 of `<first 24 digits of the key> <epoch>.<n>`, `u` if the store
    holds it as unreadable, a blank, and (with `content`) the value of the record as it came. The digest of a bucket is
    the sum of the hashes of its records modulo 2^64. The number of a bucket is the first ten bits of the key.
    """

    kind: ClassVar[str] = "store-digest"
    digests: str = Field(
        pattern=r"^[0-9a-f]*$",
        min_length=16 * BUCKETS,
        max_length=16 * BUCKETS,
        description="16 hexadecimal digits for each of the 1024 buckets.",
    )


HeldRow = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{24,64} -?[0-9]+\.-?[0-9]+u? [0-9a-f]{16}$", max_length=200)
]


class StoreListing(_Reconciled):
    """All that a store holds in a range of keys, in answer to `!reconcile`. Topic `<party>.acks`."""

    kind: ClassVar[str] = "store-listing"
    bucket: int = Field(ge=0, lt=BUCKETS)
    after: str = Field(
        default="", pattern=r"^[0-9a-f]{0,24}$", description="The range begins above this key."
    )
    upto: str = Field(
        default="",
        pattern=r"^[0-9a-f]{0,24}$",
        description="The range ends with this key. Empty: with the bucket.",
    )
    rows: Annotated[tuple[HeldRow, ...], few(1000)] = Field(
        max_length=1000,
        description="`<key, or its first 24 digits> <epoch>.<n>[u] <hash, 16 digits>`, sorted by key. A message with "
        "a key outside the bucket or the range is refused.",
    )


class Audience(Event):
    """A customer whom a campaign may address, or whom it must no longer address. Topic `<party>.audiences`."""

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


class _Marketed(Event):
    """What every message on `marketing.events` says."""

    id: UUID
    company: Ident
    partner: Ident | None = None
    at: Moment
    reported_at: Moment | None = Field(
        default=None,
        description="When the broker appended the party's report, so the message was sent before this time.",
    )
    point: Hash | None = Field(
        default=None, description="The contact point that was used, if the report names it."
    )


class MarketingEvent(_Marketed):
    """A delivery, a response or a disclosure to a partner. Topic `marketing.events`, for Kielto's services only."""

    kind: ClassVar[str] = "marketing-event"
    what: Literal["delivery", "response", "disclosure"]
    customer: UUID
    campaign: UUID | None = None
    channel: Channel | None = None
    purpose: Purpose | None = None


class Unaddressed(_Marketed):
    """A delivery to somebody outside of the campaign's audience. Topic `marketing.events`, for Kielto's services."""

    kind: ClassVar[str] = "unaddressed"
    party: str = Field(
        pattern=r"^(company|partner)\.[a-z][a-z0-9-]{0,39}$",
        description="The party that reported it. `subject` is this party's id of the customer.",
    )
    subject: Hash
    campaign: UUID
    channel: Channel
    purpose: Purpose


class Report(Event):
    """A party's report of a delivery or a response. Topic `<party>.reports`."""

    kind: ClassVar[str] = "report"
    id: UUID
    what: Literal["delivery", "response"]
    campaign: UUID
    subject: Hash
    point: str | None = Field(default=None, max_length=64)
    channel: Channel
    at: Moment
