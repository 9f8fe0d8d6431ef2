"""A decision as it was given, the errors of one that cannot be taken, and the decision that is recorded from it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from kielto.errors import KieltoError
from kielto.events.words import Act, Channel, Purpose, Reach
from services.consents.model.check import DecisionError
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    NumberSubject,
    PointSubject,
    RecordedDecision,
    Route,
    Subject,
)
from services.consents.model.ref import NamedSubject
from services.consents.model.scope import Scope, expand, widen, widen_to_address
from services.consents.store.decisions.decisions import NOBODY
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST_AHEAD = timedelta(days=366)


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


def scope_of(context: Context, command: Command) -> tuple[Scope, tuple[str, ...]]:
    """How far the decision reaches, and which rules a *no* broke, so that it was widened. Raises DecisionError."""
    scope = expand(
        context.rules,
        command.route,
        command.act,
        command.reach,
        command.company,
        command.partner,
        command.purposes,
        command.channels,
    )
    broken: tuple[str, ...] = ()
    if command.by_topic and command.is_no:
        scope, more = widen(scope, context.facts)
        broken = (*command.broken, *more)
    if command.subject.point is not None and command.is_no:
        scope, more = widen_to_address(scope, command.subject.point)
        broken += more
    return scope, broken


def build(
    command: Command, scope: Scope, broken: tuple[str, ...], found: LoadedState, lifts: frozenset[UUID]
) -> RecordedDecision:
    """`found`: whom the subject names. `lifts`: the restrictions that the decision cites."""
    said_at = storable(command.said_at, command.received_at)
    return RecordedDecision(
        id=command.id,
        subject=_subject(command, found),
        act=command.act,
        reach=scope.reach,
        company=scope.company,
        partner=scope.partner,
        purposes=scope.purposes,
        channels=scope.channels,
        by=command.by,
        route=command.route,
        said_at=said_at,
        received_at=command.received_at,
        effective_from=min(said_at, command.received_at),
        lifts=lifts,
        product_groups=frozenset(command.product_groups),
        widened=broken,
    )


def storable(said_at: datetime, received_at: datetime) -> datetime:
    """The time within what PostgreSQL can store: a *no* holds however wrong the clock of whoever sent it.

    The edges of the calendar leave it in another time zone (`0001-01-01T00:00+02:00`).
    """
    return min(max(said_at, _EARLIEST), received_at + _LATEST_AHEAD)


def _subject(command: Command, found: LoadedState) -> Subject:
    named = command.subject
    if named.company is not None:
        return NumberSubject(named.company, named.ref.encrypted)
    if named.ref.is_point:
        return PointSubject(named.ref.encrypted)
    if own := named.ref.party_and_id:
        party, ident = own
        return CustomerSubject(next((c for c in found.hit if found.keys[c].get(party) == ident), NOBODY))
    return CustomerSubject(named.customer or NOBODY)
