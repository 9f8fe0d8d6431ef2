"""Create and change customers, many at once: the one way into the register, for requests and imports.

A draft is about a known customer if its number, its `same_as`, or an identifier stated by the same source is known,
else about a new one. Drafts about the same customer are applied one after the other, in the given order. What another
source states finds nobody, and no database statement depends on it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal
from uuid import UUID

from kielto.service.database.pool import Conn
from kielto.service.outbox.publish import RecordChange, put
from kielto.service.support import tracing
from kielto.validation import FieldRule
from services.customers.model import publishing
from services.customers.model.changing import Moment, apply
from services.customers.model.customer import GROUP, RegisteredCustomer, StoredCustomer
from services.customers.model.draft import Draft, Speaker
from services.customers.model.linking import ContradictionError, check_contradiction
from services.customers.model.problems import CustomerRefusedError, refused
from services.customers.store import linking, reading, writing
from services.customers.store.encryption import BUSINESS, IDENTITY
from services.customers.store.writing import ConcurrentChangeError, Write
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.link import (
    Around,
    blinds_of,
    check_complete,
    look_around,
    no_longer,
    relink,
)
from services.customers.use_cases.record_changes import changes, relinked
from services.customers.use_cases.references import find_references, is_number

Status = Literal["created", "changed", "unchanged", "refused"]
_SEVERAL = "names more than one customer in the register: merge them first"


@dataclass(frozen=True, slots=True)
class Registration:
    """A draft to register. `scope` is the only company whose customers the caller may refer to (None: any);
    `target` the customer where the caller names it.
    """

    draft: Draft
    speaker: Speaker
    scope: str | None = None
    target: UUID | None = None

    @property
    def by_identifier(self) -> bool:
        """Whether it names somebody by an identity code or business id."""
        return bool(self.draft.identity_code or self.draft.business_id)


@dataclass(frozen=True, slots=True)
class RegistrationOutcome:
    """`revision`: the entity tag that the caller is shown."""

    status: Status
    id: UUID | None = None
    revision: int | None = None
    problems: tuple[FieldRule, ...] = ()
    warnings: tuple[FieldRule, ...] = ()
    """Contact points that could not be read and were kept as given."""


@dataclass(slots=True)
class _NamedCustomer:
    """What an entry says of whom it is about, and whom it refers to."""

    source: str
    numbers: list[str]
    identity: bytes | None
    business: bytes | None
    references: set[str]
    target: UUID | None
    numbered: set[UUID] = field(default_factory=set)
    identified: dict[bytes, UUID] = field(default_factory=dict)

    @property
    def blinds(self) -> list[bytes]:
        return [b for b in (self.identity, self.business) if b]

    @property
    def found(self) -> set[UUID]:
        return {*self.numbered, *self.identified.values()}

    def about(self) -> set[object]:
        named = {(b, self.source) for b in self.blinds}
        return {*self.numbers, *named, *self.found, *([self.target] if self.target else [])}


_Item = tuple[int, Registration, _NamedCustomer]


async def lock_for(conn: Conn, context: CustomersContext, drafts: Iterable[Draft]) -> None:
    """Lock the draft's identifiers, before any customer is locked: of two drafts with one contact point, one sees the
    other.
    """
    await linking.lock_keys(conn, {b for draft in drafts for b in blinds_of(context.keys, draft)})


async def register(
    conn: Conn, context: CustomersContext, entries: Sequence[Registration]
) -> list[RegistrationOutcome]:
    """Apply, store and publish in the caller's transaction; returns an outcome per registration, in order. Raises
    writing.ConcurrentChangeError (begin again) and EpochNotOpenError.
    """
    moment = context.moment()
    await lock_for(conn, context, [e.draft for e in entries])
    outcomes: dict[int, RegistrationOutcome] = {}
    waiting = [(i, e, _named_by(context, e)) for i, e in enumerate(entries)]
    while waiting:
        await _find(conn, [named for _, _, named in waiting])
        now: list[_Item] = []
        later: list[_Item] = []
        seen = set[object]()
        for item in waiting:
            about = item[2].about()
            (later if seen & {*about, *item[2].references} else now).append(item)
            seen |= about
        outcomes.update(await _pass(conn, context, moment, now))
        waiting = later
    return [outcomes[i] for i in range(len(entries))]


def _named_by(context: CustomersContext, entry: Registration) -> _NamedCustomer:
    draft = entry.draft
    numbers = [c.canonical for c in draft.customerships]
    return _NamedCustomer(
        source=entry.speaker.name,
        numbers=numbers + ([draft.same_as] if draft.same_as else []),
        identity=context.keys.blind_index(IDENTITY, draft.identity_code) if draft.identity_code else None,
        business=context.keys.blind_index(BUSINESS, draft.business_id) if draft.business_id else None,
        references={str(r) for r in (draft.organisation, draft.person) if is_number(r)},
        target=entry.target,
    )


async def _find(conn: Conn, all_named: Iterable[_NamedCustomer]) -> None:
    all_named = list(all_named)
    numbers = {n for c in all_named for n in c.numbers}
    known = await reading.by_number(conn, list(numbers))
    identified = await reading.by_identifier(conn, list({(b, c.source) for c in all_named for b in c.blinds}))
    for named in all_named:
        named.numbered = {known[n] for n in named.numbers if n in known}
        named.identified = {
            b: identified[b, named.source] for b in named.blinds if (b, named.source) in identified
        }


async def _pass(
    conn: Conn, context: CustomersContext, moment: Moment, items: Sequence[_Item]
) -> dict[int, RegistrationOutcome]:
    """One pass over entries of which no two concern the same customer."""
    references = await find_references(conn, context, {i: (e.draft, e.scope) for i, e, _ in items})
    targets = {t for _, _, c in items for t in (c.target, *c.found) if t}
    around = await look_around(conn, context, [e.draft for _, e, _ in items], targets)
    stored = await reading.load(conn, context.keys, targets | around.ids, lock=True)
    if targets - stored.keys():
        raise ConcurrentChangeError  # merged into another customer, or erased, since it was found
    await check_complete(conn, around, (s.customer for s in stored.values()), targets)
    ids = iter(await writing.new_ids(conn, sum(1 + len(e.draft.points) for _, e, _ in items)))

    outcomes: dict[int, RegistrationOutcome] = {}
    writes: dict[int, Write] = {}
    untouched: dict[int, StoredCustomer] = {}
    contradicted = []
    for i, entry, named in items:
        try:
            before = _target(entry, named, stored)
            old = before.customer if before else RegisteredCustomer(next(ids))
            meant = replace(references[i].meant(), identity=named.identity)
            new = apply(old, entry.draft, entry.speaker, moment, new_id=lambda: next(ids), meant=meant)
        except ContradictionError as error:
            number = entry.draft.customerships[0].number if entry.draft.customerships else None
            contradicted.append((error.customer, entry.speaker.name, number, error.fields))
            outcomes[i] = RegistrationOutcome("refused", problems=error.problems)
        except CustomerRefusedError as error:
            outcomes[i] = RegistrationOutcome("refused", problems=error.problems)
        else:
            if before is not None and new == old:
                untouched[i] = before
            else:
                writes[i] = Write(new, before, entry.draft.identity_code)
    if contradicted:
        await linking.contradicted(conn, contradicted)
    revisions = await _keep(conn, context, around, stored, writes, untouched)
    scopes = {i: entry.scope for i, entry, _ in items}
    for i, before in untouched.items():
        outcomes[i] = RegistrationOutcome("unchanged", before.customer.id, before.revision(scopes[i]))
    for i, write in writes.items():
        status: Status = "changed" if write.before else "created"
        revision = revisions[write.new.id].get(scopes[i] or GROUP)
        outcomes[i] = RegistrationOutcome(status, write.new.id, revision)
    return outcomes


async def _keep(
    conn: Conn,
    context: CustomersContext,
    around: Around,
    stored: Mapping[UUID, StoredCustomer],
    writes: Mapping[int, Write],
    untouched: Mapping[int, StoredCustomer],
) -> dict[UUID, dict[str, int]]:
    """Store and publish what changed, and whose links did; the revisions of those written."""
    if not writes and not untouched:
        return {}
    written = {write.new.id: write for write in writes.values()}
    present = {i: s.customer for i, s in stored.items()} | {i: w.new for i, w in written.items()}
    looked_at = [*written, *(s.customer.id for s in untouched.values())]
    moved = await relink(conn, context, around, present, looked_at)
    told: list[RecordChange] = []
    gone = {blind for write in written.values() for blind in no_longer(context.keys, write.old, write.new)}
    for ident, write in written.items():
        new = moved.pop(ident, write.new)
        old = write.before.customer if write.before else None
        told += changes(context, new, express=old is not None and publishing.restricts(old, new))
    told += relinked(context, ((present[ident], customer) for ident, customer in moved.items()))
    revisions = await writing.store(conn, context.keys, list(writes.values()))
    await linking.drop_keys(conn, gone)
    await put(conn, told, traceparent=tracing.current())
    return revisions


def _target(
    entry: Registration, named: _NamedCustomer, stored: Mapping[UUID, StoredCustomer]
) -> StoredCustomer | None:
    """The customer an entry is about; None: a new one. Raises CustomerRefusedError."""
    if len(named.found | ({entry.target} if entry.target else set())) > 1:
        raise refused("customer", _SEVERAL)
    if entry.draft.same_as and not named.numbered and not entry.target:
        raise refused("same_as", "must be the number of a customer in the register")
    found = entry.target or next(iter(named.found), None)
    if found is None:
        return None
    if not entry.target and not named.numbered:
        customer = stored[found].customer
        by_code = named.identity in named.identified
        check_contradiction(customer, entry.draft, entry.speaker, named.identity, by_code=by_code)
    return stored[found]
