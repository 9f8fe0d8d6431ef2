"""A decision as it was given, and the errors of one that cannot be taken."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from kielto.errors import KieltoError
from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import Actor, Route
from services.consents.model.ref import NamedSubject


class ForbiddenError(KieltoError):
    """A party acts outside what is its own; `rule` says what it may do."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class NotKnownYetError(DecisionError):
    """A *yes* about somebody whom the party does not know (yet): strangers and others' customers look alike."""


@dataclass(frozen=True, slots=True)
class Command:
    """A decision as it was given. What is left out has the meaning that act and route give it (rules.toml).

    `party`: the company or partner that brings it; None is ourselves. `lifts`: ids, or the party's own references.
    """

    id: UUID
    subject: NamedSubject
    act: Act
    received_at: datetime
    said_at: datetime
    reach: Reach | None = None
    company: str | None = None
    partner: str | None = None
    purposes: tuple[Purpose, ...] = ()
    channels: tuple[Channel, ...] = ()
    product_groups: tuple[str, ...] = ()
    lifts: tuple[UUID | str, ...] = ()
    by: Actor = Actor.PERSON
    route: Route = Route.SELF_SERVICE
    evidence: str | None = None
    party: str | None = None
    by_topic: bool = False
    """Whether the decision came on the party's topic, where a *yes* may overtake what it lifts."""
    broken: tuple[str, ...] = ()
    """Rules that a *no* on a topic broke in its wording, which was read in its broadest sense."""
    content: bytes | None = None
    """A keyed hash of what was said, where the id is not ours: it tells apart two decisions under one id."""
    recorded_by: str | None = None

    @property
    def is_no(self) -> bool:
        return self.act.restricts
