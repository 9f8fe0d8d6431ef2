"""Creating and changing customers, many at once: the one way into the register, for a request and for an
import.

A draft is a customer already known when its number, identifier or `same_as` is, else a new one. Drafts that
concern the same customer are applied one after the other, in the order given.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from kielto.service import telemetry
from kielto.service.outbox import Change, publish
from kielto.service.postgres import Conn
from services.customers.model import publishing
from services.customers.model.changing import Moment, apply
from services.customers.model.customer import Customer
from services.customers.model.draft import Draft, Speaker
from services.customers.model.problems import Problem, Refused
from services.customers.store import reading, writing
from services.customers.store.reading import Stored
from services.customers.store.writing import Taken, Write
from services.customers.use_cases.changes import changes
from services.customers.use_cases.context import Context

Status = Literal["created", "changed", "unchanged", "refused"]
_SEVERAL = "names more than one customer of the register; they have to be merged first"


@dataclass(frozen=True, slots=True)
class Entry:
    """A draft to register. `scope` is the only company whose customers the caller may refer to (None: any);
    `target` the customer where the caller names it.
    """

    draft: Draft
    speaker: Speaker
    scope: str | None = None
    target: UUID | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    status: Status
    id: UUID | None = None
    revision: int | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class _Claims:
    """What an entry says of whom it is about, and whom it refers to."""

    numbers: list[str]
    identity: bytes | None
    blinds: list[bytes]
    organisation: str | None
    target: UUID | None
    found: set[UUID] = field(default_factory=set)

    def about(self) -> set[object]:
        return {*self.numbers, *self.blinds, *self.found, *([self.target] if self.target else [])}


_Item = tuple[int, Entry, _Claims]


async def register(conn: Conn, context: Context, entries: Sequence[Entry]) -> list[Outcome]:
    """Apply, store and publish, in the caller's transaction; an outcome for each entry, in order. Raises
    writing.Taken (begin again) and epoch.NotClaimed.
    """
    moment = context.moment()
    outcomes: dict[int, Outcome] = {}
    waiting = [(i, e, _claims(context, e)) for i, e in enumerate(entries)]
    while waiting:
        await _find(conn, [claims for _, _, claims in waiting])
        now: list[_Item] = []
        later: list[_Item] = []
        seen = set[object]()
        for item in waiting:
            about = item[2].about()
            (later if seen & {*about, item[2].organisation} else now).append(item)
            seen |= about
        outcomes.update(await _pass(conn, context, moment, now))
        waiting = later
    return [outcomes[i] for i in range(len(entries))]


def _claims(context: Context, entry: Entry) -> _Claims:
    draft = entry.draft
    identity = writing.identity_index(context.keys, draft.identity_code) if draft.identity_code else None
    business = writing.business_index(context.keys, draft.business_id) if draft.business_id else None
    numbers = [c.canonical for c in draft.customerships]
    return _Claims(
        numbers=numbers + ([draft.same_as] if draft.same_as else []),
        identity=identity,
        blinds=[b for b in (identity, business) if b],
        organisation=draft.organisation if isinstance(draft.organisation, str) else None,
        target=entry.target,
    )


async def _find(conn: Conn, all_claims: Iterable[_Claims]) -> None:
    all_claims = list(all_claims)
    numbers = {n for c in all_claims for n in c.numbers}
    known = await reading.by_number(conn, list(numbers))
    blinds = {b for c in all_claims for b in c.blinds}
    identified = await reading.by_identifier(conn, list(blinds))
    for claims in all_claims:
        claims.found = {known[n] for n in claims.numbers if n in known}
        claims.found |= {identified[b] for b in claims.blinds if b in identified}


async def _pass(conn: Conn, context: Context, moment: Moment, items: Sequence[_Item]) -> dict[int, Outcome]:
    """One pass over entries of which no two concern the same customer."""
    organisations = await _organisations(conn, items)
    targets = {t for _, _, c in items for t in (c.target, *c.found) if t}
    stored = await reading.load(conn, context.keys, targets, lock=True)
    if targets - stored.keys():
        raise Taken  # merged into another customer, or erased, since it was found
    ids = iter(await writing.new_ids(conn, sum(1 + len(e.draft.points) for _, e, _ in items)))

    outcomes: dict[int, Outcome] = {}
    writes: dict[int, Write] = {}
    for i, entry, claims in items:
        try:
            before = _target(entry, claims, stored)
            old = before.customer if before else Customer(next(ids), entry.draft.recipient)
            new = apply(
                old,
                entry.draft,
                entry.speaker,
                moment,
                new_id=lambda: next(ids),
                identity=claims.identity,
                organisation=_organisation(entry, organisations),
            )
        except Refused as refused:
            outcomes[i] = Outcome("refused", problems=refused.problems)
            continue
        if before is None:
            writes[i] = Write(new, identity_code=entry.draft.identity_code)
        elif new != old:
            writes[i] = Write(new, old, before.key, entry.draft.identity_code)
        else:
            outcomes[i] = Outcome("unchanged", old.id, before.revision)
    if writes:
        revisions = await writing.store(conn, context.keys, list(writes.values()))
        await publish(conn, _changes(context, writes.values()), traceparent=telemetry.current())
        for i, write in writes.items():
            status: Status = "changed" if write.old else "created"
            outcomes[i] = Outcome(status, write.new.id, revisions[write.new.id])
    return outcomes


def _target(entry: Entry, claims: _Claims, stored: dict[UUID, Stored]) -> Stored | None:
    """The customer an entry is about; None: a new one. Raises Refused."""
    if entry.target is not None and claims.found - {entry.target}:
        raise Refused([Problem("customer", _SEVERAL)])
    if len(claims.found) > 1:
        raise Refused([Problem("customer", _SEVERAL)])
    if entry.draft.same_as and not claims.found and not entry.target:
        raise Refused([Problem("same_as", "is the number of a customer in the register")])
    found = entry.target or next(iter(claims.found), None)
    return stored[found] if found else None


_Organisations = dict[UUID | str, tuple[UUID, set[str]]]


async def _organisations(conn: Conn, items: Sequence[_Item]) -> _Organisations:
    """The organisations that the drafts name, by id or canonical number; absent when there is none."""
    named = {e.draft.organisation for _, e, _ in items} - {None}
    if not named:
        return {}
    by_number = await reading.by_number(conn, [n for n in named if isinstance(n, str)])
    ids = {n: n if isinstance(n, UUID) else by_number.get(n) for n in named if n is not None}
    known = await reading.organisations(conn, (i for i in ids.values() if i))
    return {n: known[i] for n, i in ids.items() if i in known}


def _organisation(entry: Entry, known: _Organisations) -> UUID | None:
    if entry.draft.organisation is None:
        return None
    found, companies = known.get(entry.draft.organisation, (None, set[str]()))
    if found is None or (entry.scope and entry.scope not in companies):
        raise Refused([Problem("organisation", "is an organisation in the register")])
    return found


def _changes(context: Context, writes: Iterable[Write]) -> list[Change]:
    told: list[Change] = []
    for write in writes:
        express = write.old is not None and publishing.restricts(write.old, write.new)
        told += changes(context, write.new, express=express)
    return told
