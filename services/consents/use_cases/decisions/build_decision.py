"""Build the decision that is recorded from the command: first its scope, then, once people are loaded, its subject."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.consents.model.decisions import (
    CustomerSubject,
    NumberSubject,
    PointSubject,
    RecordedDecision,
)
from services.consents.model.scope import Scope, expand, widen, widen_to_address
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.command import Command

NOBODY = UUID(int=0)
"""Stands for the customer of a party's id that we do not know yet."""
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST_AHEAD = timedelta(days=366)


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


def _subject(command: Command, found: LoadedState) -> CustomerSubject | NumberSubject | PointSubject:
    named = command.subject
    if named.company is not None:
        return NumberSubject(named.company, named.ref.encrypted)
    if named.ref.is_point:
        return PointSubject(named.ref.encrypted)
    if own := named.ref.party_and_id:
        party, ident = own
        return CustomerSubject(next((c for c in found.hit if found.keys[c].get(party) == ident), NOBODY))
    return CustomerSubject(named.customer or NOBODY)
