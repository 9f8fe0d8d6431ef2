"""Take a decision: one transaction from the lock to the marks of every record that changes.

A *no* is never refused because we lag: one for somebody unknown is stored and binds them when they come. One that came
on a topic is not refused at all: nobody can be asked what was meant, so it is taken for the widest that it may mean. A
*yes* is checked strictly: of somebody whom the party knows, not from the future, and what it lifts bears on them.

A party's token must not tell a stranger from another company's customer: nothing here answers differently for the two.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID, uuid5

from kielto.errors import KieltoError
from kielto.events.topics import CONSENTS
from kielto.events.words import Act, Channel, Purpose, Reach, Status
from kielto.service.database import access_entry
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.support.yielding import in_turns
from services.consents.model.broadest_reading import widen, widen_to_address
from services.consents.model.check import DecisionError, check
from services.consents.model.decisions import (
    Actor,
    CustomerSubject,
    NumberSubject,
    PointSubject,
    RecordedDecision,
    Route,
)
from services.consents.model.default_scope import expand
from services.consents.store.decisions import decisions
from services.consents.store.decisions.decisions import StoredDecision
from services.consents.store.permissions import consequences, locks, state
from services.consents.store.permissions.consequences import OwedDecision
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context, NamedSubject
from services.consents.use_cases.decisions import often
from services.consents.use_cases.permissions.evaluate_people import PersonPermissions, judge, names
from services.consents.use_cases.permissions.publish_records import (
    AT_ONCE,
    Written,
    bearing,
    republish,
    speaks_of,
)

AHEAD = timedelta(minutes=5)
"""How far the clock of whoever brings a *yes* may run ahead of ours."""
_ATTEMPTS = 20
MANY = 100
"""Customers: what a decision means for more of them is computed in portions, after its commit (`portions.py`)."""


class ForbiddenError(KieltoError):
    """A party acts outside what is its own; `rule` says what holds."""

    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


class NotKnownYetError(DecisionError):
    """A *yes* about nobody whom the party knows, or not yet: a stranger and another company's customer look alike."""


@dataclass(frozen=True, slots=True)
class Command:
    """A decision as it was given. What is left out means what act and route say it means (rules.toml).

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
    """It came on the party's topic, where a *yes* may overtake what it lifts."""
    broken: tuple[str, ...] = ()
    """Rules that a *no* on a topic broke in its words, which were read as the widest that they may mean."""
    content: bytes | None = None
    """Of what was said, where the id is not ours: a keyed hash, by which two decisions of one id are told apart."""
    recorded_by: str | None = None


class DecisionOutcome(NamedTuple):
    decision: RecordedDecision
    subject: NamedSubject
    judged: list[PersonPermissions]
    written: list[Written]
    coming: Mapping[str, int] | None = None
    """Of a decision about more than `MANY` customers: how many records of each party it is about to be shown by."""
    repeats: bool = False
    """The decision is an earlier one, which says as much (`often.py`)."""

    @property
    def held(self) -> bool:
        return self.decision.held_at is not None

    @property
    def pending(self) -> bool:
        """It is about nobody whom we know yet."""
        return self.coming is None and not any(self.decision.id in one.direct for one in self.judged)

    def pending_for(self, party: str | None) -> bool:
        """It is about none of the party's own customers; None is ourselves."""
        return not self.records_of(party) if party else self.pending

    def written_for(self, party: str | None) -> list[Written]:
        """Of a company only records of customers whom it named, by an address only where it has that; None: all.

        Whom else the decision binds, and why, the company is not told.
        """
        if party is None:
            return self.written
        kind, _, name = party.partition(".")
        own = [w for w in self.written if w.family == party]
        if kind == "company":
            return [w for w in own if w.judged.at(name).names(self.decision.id)]
        return [w for w in own if self.decision.id in w.judged.direct]

    def records_of(self, party: str | None) -> int:
        """The same, counted, with those that are about to be written."""
        coming = (n for family, n in (self.coming or {}).items() if party in (None, family))
        return sum(coming) + len(self.written_for(party))

    def judged_for(self, party: str) -> list[PersonPermissions]:
        """Persons whom a company named, by an address only where it has that."""
        if self.coming is None:
            return [w.judged for w in self.written_for(party)]
        return [one for one in self.judged if one.at(party.partition(".")[2]).names(self.decision.id)]

    @property
    def by_address(self) -> bool:
        return isinstance(self.decision.subject, PointSubject)


Finish = Callable[[Conn, DecisionOutcome], Awaitable[bytes]]


async def receive(pool: Pool, context: Context, command: Command, finish: Finish) -> bytes:
    """Decide in a transaction of its own, which ends with `finish`; its answer, once committed."""
    for _ in range(_ATTEMPTS):
        try:
            async with transaction(pool) as conn:
                outcome = await decide(conn, context, command)
                assert outcome is not None  # a new id each time
                _noted(outcome.decision)
                return await finish(conn, outcome)
        except locks.SubjectsMovedError:
            continue
    raise TimeoutError("those concerned keep changing")


def _noted(decision: RecordedDecision) -> None:
    """The audit trail names whom the decision names: not who shares the address, they may be another company's."""
    subject = decision.subject
    named = subject.id if isinstance(subject, CustomerSubject) and subject.id != _NOBODY else None
    access_entry.about(decision.id, named)


async def decide(conn: Conn, context: Context, command: Command) -> DecisionOutcome | None:
    """Decide in the caller's transaction; None when it was taken already.

    Another *no* under an id that was used is a decision of its own, under an id that follows from both; a *yes* there
    is refused.

    Raises DecisionError, ForbiddenError, EpochNotOpenError; SubjectsMovedError: roll back and begin again.
    """
    subject = command.subject
    decision = _decision(context, command)
    _may(command, decision)
    locked = await locks.for_decision(conn, subject.ref, subject.customer, MANY)
    many = len(locked.customers) > MANY
    seed = [subject.customer] if subject.customer else []
    other = uuid5(command.id, (command.content or b"").hex())
    # A no about many asks nothing of them, and is committed at once.
    whom = ([], None) if many and decision.is_no else (seed, subject.ref)
    found = await state.load(conn, whom[0], ref=whom[1], decisions=(command.id, other))
    if found.repeated:
        if found.repeated.get(command.id) in (None, command.content) or other in found.repeated:
            return None
        if not decision.is_no:
            raise DecisionError("id", "is not that of a decision which says something else")
        command, decision = replace(command, id=other), replace(decision, id=other)
    if many:
        _first(command, found)
    else:
        locks.must_cover(locked, found.hit)
    if not decision.is_no:
        _check_yes(context, command, decision, found)
    decision = replace(
        decision, subject=_subject(subject, found), lifts=_cited(context, command, decision.is_no, found)
    )
    check(decision, context.facts)
    decision, known = await often.once_more(conn, (subject.ref, command.party), decision, found, many=many)
    if known is not None:
        return await _once_more(conn, context, command, known, found, locked)
    if many:
        return await _in_portions(conn, context, command, decision, locked, found)
    judged = await _judged_with(context, found, decision)
    foreign = _reaches_beyond(command.party, decision) and not _is_of(command.party, decision, found, judged)
    if foreign and await _is_above_the_rate(conn, context, command):
        decision = replace(decision, held_at=command.party)
        judged = await _judged_with(context, found, decision)
    written = await republish(conn, context, found, judged, command.received_at, because=decision)
    bears_on = bearing(written, decision, context.facts)
    await decisions.add(conn, _stored(context, command, decision, found, foreign=foreign), bears_on)
    return DecisionOutcome(decision, subject, judged, written)


async def _once_more(
    conn: Conn,
    context: Context,
    command: Command,
    known: RecordedDecision,
    found: LoadedState,
    locked: locks.Locked,
) -> DecisionOutcome:
    """Nothing is stored: what is said stands already."""
    if len(locked.customers) > MANY:
        counted = await consequences.records(
            conn, OwedDecision(known.id, command.subject.ref, command.subject.customer)
        )
        coming = _coming(context, counted, locked)
        return DecisionOutcome(known, command.subject, [], [], coming, repeats=True)
    judged = [one async for one in in_turns(judge(context, found), AT_ONCE)]
    written = await republish(conn, context, found, judged, command.received_at, because=known)
    return DecisionOutcome(known, command.subject, judged, written, repeats=True)


async def _in_portions(
    conn: Conn,
    context: Context,
    command: Command,
    decision: RecordedDecision,
    locked: locks.Locked,
    found: LoadedState,
) -> DecisionOutcome:
    """Stored under the lock on its subject alone: whoever computes one of those concerned after its commit sees it.

    The outcome of a *yes* has the first `MANY` persons of those whom the party knows, to say what still binds them.
    """
    subject = command.subject
    begun = OwedDecision(decision.id, subject.ref, subject.customer)
    counted = await consequences.records(conn, begun)
    foreign = _reaches_beyond(command.party, decision) and command.party not in counted
    if foreign and await _is_above_the_rate(conn, context, command):
        decision = replace(decision, held_at=command.party)
    families = (CONSENTS.name, *context.group.parties) if decision.is_no else ()
    speaks = [family for family in families if speaks_of(decision, family, context.facts)]
    await decisions.add(conn, _stored(context, command, decision, found, foreign=foreign), ())
    await consequences.add(conn, begun, speaks)
    coming = _coming(context, counted, locked)
    return DecisionOutcome(decision, subject, await _judged_with(context, found, decision), [], coming)


def _coming(context: Context, counted: Mapping[str, int], locked: locks.Locked) -> dict[str, int]:
    coming = {family: n for family, n in counted.items() if family in context.group.parties}
    coming[CONSENTS.name] = len(locked.customers)
    return coming


async def _judged_with(
    context: Context, found: LoadedState, decision: RecordedDecision
) -> list[PersonPermissions]:
    """Of two decisions with one id the last counts."""
    for customer in found.hit:
        found.decisions[customer].append(decision)
    return [one async for one in in_turns(judge(context, found), AT_ONCE)]


def _reaches_beyond(party: str | None, decision: RecordedDecision) -> bool:
    """Whether it is a party's *no* that denies anything to others, too."""
    if party is None or not decision.is_no:
        return False
    own = {Reach.COMPANY: f"company.{decision.company}", Reach.PARTNER: f"partner.{decision.partner}"}
    return own.get(decision.reach) != party


def _is_of(
    party: str | None, decision: RecordedDecision, found: LoadedState, judged: list[PersonPermissions]
) -> bool:
    """Whether it is about anybody of the party's own people, by an address only where the party has that."""
    return party is not None and any(
        any(party in found.keys[key] for key in one.person.keys) and names(one, party, decision.id)
        for one in judged
    )


async def _is_above_the_rate(conn: Conn, context: Context, command: Command) -> bool:
    """Those that are being taken just now by others are not counted: a few more than the bound may take effect."""
    assert command.party is not None  # it reaches beyond a party
    most = context.foreign_nos_per_hour
    return await decisions.foreign(conn, command.party, command.received_at, most) >= most


def _first(command: Command, found: LoadedState) -> None:
    """Of many, whom a *yes* asks what binds them: the first of those whom the subject names and the party knows."""
    known = (c for c in found.hit if command.party is None or command.party in found.keys[c])
    found.hit = tuple(islice(sorted(known, key=lambda c: c not in found.named), MANY))


def _decision(context: Context, command: Command) -> RecordedDecision:
    """Whom it is about and what it lifts is seen only when everything is loaded."""
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
    if command.by_topic and command.act.restricts:
        scope, broken = widen(scope, context.facts)
        broken = (*command.broken, *broken)
    if command.subject.point is not None and command.act.restricts:
        scope, also = widen_to_address(scope, command.subject.point)
        broken += also
    said_at = storable(command.said_at, command.received_at)
    return RecordedDecision(
        id=command.id,
        subject=CustomerSubject(_NOBODY),
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
        product_groups=frozenset(command.product_groups),
        widened=broken,
    )


_NOBODY = UUID(int=0)
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST_AHEAD = timedelta(days=366)


def storable(said_at: datetime, received_at: datetime) -> datetime:
    """A clock may be as wrong as it likes, and a *no* holds: the edges of the calendar leave it in another time zone
    (`0001-01-01T00:00+02:00`), and no database stores them."""
    return min(max(said_at, _EARLIEST), received_at + _LATEST_AHEAD)


def _subject(subject: NamedSubject, found: LoadedState) -> CustomerSubject | NumberSubject | PointSubject:
    kind, _, name = subject.ref.partition(":")
    match kind:
        case "n":
            return NumberSubject(subject.company or "", name.encode())
        case "p":
            return PointSubject(name.encode())
        case "i":
            party, _, key = name.partition(":")
            holders = (c for c in found.hit if found.keys[c].get(party) == key)
            return CustomerSubject(next(holders, _NOBODY))
        case _:
            return CustomerSubject(UUID(name))


def _may(command: Command, decision: RecordedDecision) -> None:
    """A company says yes for its own marketing alone; a person's *no* goes as far as the person says.

    At a desk that limits whoever else says no, too. What comes on a topic cannot be asked back: a *no* is taken.
    """
    if command.party is None:
        return
    kind, _, name = command.party.partition(".")
    if command.subject.company not in (None, name):
        raise ForbiddenError("subject: is a customer of the company that acts")
    if decision.is_no and (command.by_topic or decision.by in (Actor.PERSON, Actor.AGENT)):
        return
    if kind != "company" or decision.reach is Reach.GROUP or decision.company != name:
        raise ForbiddenError("reach: stays within the company that acts, but for a no by the person")


def _cited(context: Context, command: Command, is_no: bool, found: LoadedState) -> frozenset[UUID]:
    """The restrictions that a *yes* cites. One that came by the party's topic may have overtaken what it lifts: the
    party's own ids are taken as they are."""
    if is_no:
        return frozenset(lift for lift in command.lifts if isinstance(lift, UUID))
    known = _citable(context, command, found) if command.lifts else set()
    references = {context.keys.pairwise(command.party, i): i for i in known} if command.party else {}
    cited = set()
    for lift in command.lifts:
        ident = references.get(lift) if isinstance(lift, str) else lift
        if ident is None or (ident not in known and not command.by_topic):
            raise DecisionError("lifts", "cites restrictions that bear on the subject")
        cited.add(ident)
    return frozenset(cited)


def _citable(context: Context, command: Command, found: LoadedState) -> set[UUID]:
    """To a party only what bears on its own customer as it sees them. Another company's restriction and one that
    nobody ever gave are the same to it."""
    if command.party is None:
        return {d.id for said in found.decisions.values() for d in said if d.is_no}
    name = command.party.partition(".")[2]
    return {
        d.id
        for one in _named(context, command.party, found)
        for d in one.decisions
        if d.id in one.at(name).nos and speaks_of(d, command.party, context.facts)
    }


def _named(context: Context, party: str, found: LoadedState) -> Iterator[PersonPermissions]:
    """Those whom the subject names, of the party's own customers."""
    for one in judge(context, found):
        keys = one.person.keys
        if not found.named.isdisjoint(keys) and any(party in found.keys[key] for key in keys):
            yield one


def _check_yes(context: Context, command: Command, decision: RecordedDecision, found: LoadedState) -> None:
    """First of all whether we, or the party, know anybody whom it is about: what follows may depend on them."""
    if not _knows(command, found):
        whose = "known to us" if command.party is None else "a customer of the company that acts"
        raise NotKnownYetError("subject", f"is {whose}, for a yes")
    if decision.said_at > decision.received_at + AHEAD:
        raise DecisionError("said_at", "is not in the future, for a yes")
    companies = (c for c in context.group.companies if decision.company in (None, c.id))
    if not decision.product_groups <= {group for c in companies for group in c.product_groups}:
        raise DecisionError("product_groups", "are product groups of the company")


def _knows(command: Command, found: LoadedState) -> bool:
    named = [found.customers[c] for c in found.named if c in found.customers]
    if command.party is None:
        return bool(named)
    kind, _, ref = command.subject.ref.partition(":")
    company = command.party.partition(".")[2]
    return any(
        command.party in found.keys[c.id]
        and (kind != "p" or any(p.ref == ref.encode() for p in c.points_of(company)))
        for c in named
    )


def _stored(
    context: Context, command: Command, decision: RecordedDecision, found: LoadedState, *, foreign: bool
) -> StoredDecision:
    """Of somebody who is erased no evidence is kept."""
    named = [found.customers[c] for c in found.named if c in found.customers]
    evidence, erased = None, bool(named) and all(c.status is Status.ERASED for c in named)
    if command.evidence and not erased:
        key, wrapped = context.keys.new_data_key(command.id)
        evidence = wrapped, key.encrypt(command.evidence, b"evidence")
    subject = command.subject
    return StoredDecision(
        decision,
        subject.ref,
        subject.kind,
        command.party,
        command.recorded_by,
        evidence,
        command.content,
        foreign,
    )
