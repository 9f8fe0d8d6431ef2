"""Take a decision: one transaction from the lock to the marks of every record that changes.

A *no* is never refused because we lag: one for somebody unknown is stored and binds them when they come. One that came
on a topic is not refused at all: nobody can be asked what was meant, so it is read in its broadest sense. A *yes* is
checked strictly: it is by somebody whom the party knows, not from the future, and what it lifts bears on them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import islice
from uuid import UUID, uuid5

from kielto.events.party import Party
from kielto.events.topics import CONSENTS
from kielto.events.words import Reach, Status
from kielto.service.database import audit_entry
from kielto.service.database.pool import Conn
from kielto.service.support.yielding import in_turns
from services.consents import metrics
from services.consents.model.check import DecisionError, check
from services.consents.model.decisions import CustomerSubject, RecordedDecision
from services.consents.store.decisions import decisions
from services.consents.store.permissions import consequences, locks, state
from services.consents.store.permissions.locks import Locked
from services.consents.store.permissions.state import LoadedState
from services.consents.use_cases.context import Context, Result, settled
from services.consents.use_cases.decisions import often
from services.consents.use_cases.decisions.authorize import authorize, check_yes, cited
from services.consents.use_cases.decisions.command import Command, build, scope_of
from services.consents.use_cases.decisions.receipt import DecisionOutcome
from services.consents.use_cases.permissions.evaluate_people import (
    PersonPermissions,
    evaluate_people,
    names,
)
from services.consents.use_cases.permissions.publish_records import bearing, republish, speaks_of

MANY = 100
"""Customers: what a decision means for more of them is computed in portions, after its commit (`portions.py`)."""


async def receive(
    context: Context, command: Command, finish: Callable[[Conn, DecisionOutcome], Awaitable[Result]]
) -> Result:
    """Decide in a transaction of its own, which ends with `finish`; return its result once committed.

    Raises as `decide` does, but TimeoutError when the people concerned keep changing.
    """

    async def work(conn: Conn) -> tuple[DecisionOutcome, Result]:
        outcome = await decide(conn, context, command)
        assert outcome is not None  # a new id each time
        _audit(outcome.decision)
        return outcome, await finish(conn, outcome)

    outcome, result = await settled(context, work)
    metrics.taken(command.act, pending=outcome.pending)
    return result


def _audit(decision: RecordedDecision) -> None:
    """Audit the decision and its customer, but nobody who shares the address: they may be another company's."""
    subject = decision.subject
    named = subject.id if isinstance(subject, CustomerSubject) and subject.id != decisions.NOBODY else None
    audit_entry.about(decision.id, named)


async def decide(conn: Conn, context: Context, command: Command) -> DecisionOutcome | None:
    """Decide in the caller's transaction; None when the decision was taken already.

    Another *no* under an id that was used is a decision of its own, under an id that follows from both; a *yes* there
    is refused. Raises DecisionError, ForbiddenError, EpochNotOpenError; SubjectsMovedError: roll back and begin again.
    """
    scope, broken = scope_of(context, command)
    authorize(command, scope)
    subject = command.subject
    locked = await locks.for_decision(conn, subject.ref, subject.customer, MANY)
    many = len(locked.customers) > MANY
    found = await _load(conn, command, ask_people=not (many and command.is_no))
    ident = _free_id(command, found)
    if ident is None:
        return None
    command = replace(command, id=ident)
    if many:
        _keep_first(command, found)
    else:
        locks.must_cover(locked, found.hit)
    if not command.is_no:
        check_yes(context, command, scope, found)
    decision = build(command, scope, broken, found, cited(context, command, found))
    check(decision, context.facts)
    decision, known = await often.once_more(conn, (subject.ref, command.party), decision, found, many=many)
    if known is not None:
        return await _repeat(conn, context, command, known, found, locked)
    if many:
        return await _decide_in_portions(conn, context, command, decision, found, locked)
    return await _decide_at_once(conn, context, command, decision, found)


async def _load(conn: Conn, command: Command, *, ask_people: bool) -> LoadedState:
    """Load what the decision needs. A *no* about many customers loads none of them (`ask_people` False)."""
    subject = command.subject
    customers = [subject.customer] if subject.customer and ask_people else []
    ref = subject.ref if ask_people else None
    return await state.load(conn, customers, ref=ref, decisions=(command.id, _second_id(command)))


def _second_id(command: Command) -> UUID:
    """The id of another *no* under an id that was used."""
    return uuid5(command.id, (command.content or b"").hex())


def _free_id(command: Command, found: LoadedState) -> UUID | None:
    """The id under which the decision is stored; None: it is stored already. Raises DecisionError."""
    if not found.repeated:
        return command.id
    second = _second_id(command)
    if found.repeated.get(command.id) in (None, command.content) or second in found.repeated:
        return None
    if not command.is_no:
        raise DecisionError("id", "must not be the id of a decision that says something else")
    return second


def _keep_first(command: Command, found: LoadedState) -> None:
    """Keep the first `MANY` customers whom the subject names and the party knows: a *yes* asks what binds them."""
    known = (c for c in found.hit if command.party is None or command.party in found.keys[c])
    found.hit = tuple(islice(sorted(known, key=lambda c: c not in found.named), MANY))


async def _decide_at_once(
    conn: Conn, context: Context, command: Command, decision: RecordedDecision, found: LoadedState
) -> DecisionOutcome:
    people = await _evaluate_with(context, found, decision)
    foreign = _reaches_beyond(command.party, decision) and not _is_of(command.party, decision, found, people)
    if foreign and await _is_above_the_rate(conn, context, command):
        decision = replace(decision, held_at=command.party)
        people = await _evaluate_with(context, found, decision)
    written = await republish(conn, context, found, people, command.received_at, because=decision)
    bears_on = bearing(written, decision, context.facts)
    await decisions.add(conn, _stored(context, command, decision, found, foreign=foreign), bears_on)
    return DecisionOutcome(decision, command.subject, people, written)


async def _repeat(
    conn: Conn,
    context: Context,
    command: Command,
    known: RecordedDecision,
    found: LoadedState,
    locked: Locked,
) -> DecisionOutcome:
    """Store nothing: an earlier decision says as much."""
    if len(locked.customers) > MANY:
        owed = consequences.OwedDecision(known.id, command.subject.ref, command.subject.customer)
        coming = _coming(context, await consequences.records(conn, owed), locked)
        return DecisionOutcome(known, command.subject, [], [], coming, repeats=True)
    people = [one async for one in in_turns(evaluate_people(context, found))]
    written = await republish(conn, context, found, people, command.received_at, because=known)
    return DecisionOutcome(known, command.subject, people, written, repeats=True)


async def _decide_in_portions(
    conn: Conn,
    context: Context,
    command: Command,
    decision: RecordedDecision,
    found: LoadedState,
    locked: Locked,
) -> DecisionOutcome:
    """Store the decision under the lock on its subject alone: whoever computes one of the people concerned after the
    commit sees it.

    The outcome of a *yes* has the first `MANY` persons of those whom the party knows, to say what still binds them.
    """
    subject = command.subject
    owed = consequences.OwedDecision(decision.id, subject.ref, subject.customer)
    counted = await consequences.records(conn, owed)
    foreign = _reaches_beyond(command.party, decision) and command.party not in counted
    if foreign and await _is_above_the_rate(conn, context, command):
        decision = replace(decision, held_at=command.party)
    families = (CONSENTS.name, *context.group.parties) if decision.is_no else ()
    speaks = [family for family in families if speaks_of(decision, family, context.facts)]
    await decisions.add(conn, _stored(context, command, decision, found, foreign=foreign), ())
    await consequences.add(conn, owed, speaks)
    coming = _coming(context, counted, locked)
    return DecisionOutcome(decision, subject, await _evaluate_with(context, found, decision), [], coming)


def _coming(context: Context, counted: Mapping[str, int], locked: Locked) -> dict[str, int]:
    coming = {family: n for family, n in counted.items() if family in context.group.parties}
    coming[CONSENTS.name] = len(locked.customers)
    return coming


async def _evaluate_with(
    context: Context, found: LoadedState, decision: RecordedDecision
) -> list[PersonPermissions]:
    """Evaluate everyone concerned with the decision included. Of two decisions with one id, the last counts."""
    for customer in found.hit:
        found.decisions[customer].append(decision)
    return [one async for one in in_turns(evaluate_people(context, found))]


def _reaches_beyond(party: str | None, decision: RecordedDecision) -> bool:
    """Whether it is a party's *no* that denies anything to others, too."""
    if party is None or not decision.is_no:
        return False
    match decision.reach, decision.company, decision.partner:
        case Reach.COMPANY, str(company), _:
            return Party.company(company) != party
        case Reach.PARTNER, _, str(partner):
            return Party.partner(partner) != party
    return True


def _is_of(
    party: str | None, decision: RecordedDecision, found: LoadedState, people: list[PersonPermissions]
) -> bool:
    """Whether it is about anybody of the party's own people, by an address only where the party has that."""
    return party is not None and any(
        any(party in found.keys[key] for key in one.person.keys) and names(one, Party(party), decision.id)
        for one in people
    )


async def _is_above_the_rate(conn: Conn, context: Context, command: Command) -> bool:
    """Whether the party is above its hourly rate of *no*s about others' people. Decisions of open transactions are not
    counted, so a few more than the limit may take effect.
    """
    assert command.party is not None  # it reaches beyond a party
    most = context.limits.foreign_nos_per_hour
    return await decisions.foreign(conn, command.party, command.received_at, most) >= most


def _stored(
    context: Context, command: Command, decision: RecordedDecision, found: LoadedState, *, foreign: bool
) -> decisions.StoredDecision:
    """The decision as it is stored; the evidence is left out when everybody whom the decision names is erased."""
    named = [found.customers[c] for c in found.named if c in found.customers]
    evidence, erased = None, bool(named) and all(c.status is Status.ERASED for c in named)
    if command.evidence and not erased:
        key, wrapped = context.keys.new_data_key(decision.id)
        evidence = wrapped, key.encrypt(command.evidence, b"evidence")
    return decisions.StoredDecision(
        decision,
        ref=command.subject.ref,
        subject_kind=command.subject.kind,
        party=command.party,
        recorded_by=command.recorded_by,
        evidence=evidence,
        content=command.content,
        foreign_subject=foreign,
    )
