"""Apply facts: records of customers, their erasures, disclosures from marketing, and changes of the group.

A fact works as a decision does: everybody concerned is computed again in the transaction that stores it. Decisions that
waited for a customer bind from the first record on.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from kielto.events.party import Party
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.support.yielding import in_turns
from services.consents.model.facts import Disclosure
from services.consents.model.ref import Ref
from services.consents.store.decisions import decisions, suppressions, waiting
from services.consents.store.permissions import customers, locks, state
from services.consents.store.permissions.customers import CustomerProjection
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.evaluate_people import evaluate_people
from services.consents.use_cases.permissions.publish_records import bearing, republish

AT_ONCE = 100
"""Customers in a transaction after a change of the group."""


async def take_in_customers(
    conn: Conn, context: Context, rows: Sequence[CustomerProjection], told_at: datetime | None = None
) -> None:
    """Store the newer records and compute everyone concerned again. Raises SubjectsMovedError: roll back and begin
    again.

    `told_at`: when the first of them was published, by the broker's clock; None: now.
    """
    locked = await locks.for_facts(
        conn,
        [row.id for row in rows],
        merged=[x for row in rows for x in (row.alias_of, *row.aliases) if x],
        others=[other for row in rows for other in row.others],
        refs=[ref for row in rows for ref in row.refs],
    )
    await erase(conn, context, rows, locked, told_at or context.clock())
    await waiting.erase(conn, [row.id for row in rows if row.erased])
    if await customers.put(conn, rows):
        await waiting.due(conn, [ref for row in rows for ref in row.refs])
        await compute_anew(conn, context, locked)


async def deny_customer(conn: Conn, context: Context, customer: UUID, version: Version) -> None:
    """The record of this version cannot be read: allow nothing until the same or a higher version is readable."""
    locked = await locks.for_facts(conn, [customer])
    if await customers.deny(conn, customer, version):
        await compute_anew(conn, context, locked)


async def customer_of_key(conn: Conn, context: Context, party: str, key: str | None) -> UUID | None:
    """The known customer whom the key of a party's message names; None: nobody known."""
    ident = context.keys.from_pairwise(party, key) if key else None
    return ident if ident is not None and await customers.is_known(conn, ident) else None


async def compute_customer_anew(conn: Conn, context: Context, customer: UUID) -> None:
    """Compute a customer again when something beside their record changed. Raises SubjectsMovedError."""
    await compute_anew(conn, context, await locks.for_facts(conn, [customer]))


async def take_in_disclosures(conn: Conn, context: Context, disclosures: Sequence[Disclosure]) -> None:
    """Store disclosures and compute these customers: the first gives a partner a record. Raises SubjectsMovedError."""
    locked = await locks.for_facts(
        conn, [d.customer for d in disclosures], refs=[d.ref for d in disclosures if d.ref]
    )
    if await customers.disclose(conn, disclosures):
        await waiting.due(conn, [d.ref for d in disclosures if d.ref])
        await compute_anew(conn, context, locked)


async def compute_anew(conn: Conn, context: Context, locked: locks.Locked) -> None:
    """Compute the records of everyone concerned, and which decisions each record shows. Raises SubjectsMovedError."""
    found = await state.load(conn, locked.seed)
    locks.must_cover(locked, found.hit)
    people = [one async for one in in_turns(evaluate_people(context, found))]
    now = context.clock()
    written = await republish(conn, context, found, people, now)
    bears_on = [
        row for w in written for said in w.permissions.decisions for row in bearing([w], said, context.facts)
    ]
    await decisions.add_records(conn, bears_on, now)


async def erase(
    conn: Conn, context: Context, rows: Sequence[CustomerProjection], locked: locks.Locked, at: datetime
) -> None:
    """In the transaction that stores the records, under its locks. Raises SubjectsMovedError."""
    erased = [(row.id, row.version) for row in rows if row.erased]
    going = set(await suppressions.newer(conn, erased)) if erased else set()
    if not going:
        return
    found = await state.load(conn, sorted(going))
    locks.must_cover(locked, found.hit)
    theirs = [j for j in evaluate_people(context, found) if not going.isdisjoint(j.person.keys)]
    own = {(c, d) for j in theirs for c in j.person.keys if c in going for d in j.own}
    await suppressions.add(conn, own, [c for j in theirs for c in j.person.keys], at)
    await suppressions.forget(conn, going, {d for _, d in own})


async def recompute_next(conn: Conn, context: Context, after: UUID) -> UUID | None:
    """Compute the next customers by ascending id, after companies or partners joined, left or changed their relations.
    Returns the last id; None when there are no more. Raises SubjectsMovedError, EpochNotOpenError.
    """
    kept = await customers.kept_after(conn, after, AT_ONCE)
    if not kept:
        return None
    refs = [(ref, record.subject) for record in kept for ref in customers.party_refs(record, context.keys)]
    for disclosed in await customers.disclosed(conn, [record.subject for record in kept]):
        party = Party.partner(disclosed.partner)
        if context.keys.knows(party):
            refs.append(
                (Ref.of_party(party, context.keys.pairwise(party, disclosed.customer)), disclosed.customer)
            )
    ids = [record.subject for record in kept]
    locked = await locks.for_facts(conn, ids, refs=[ref for ref, _ in refs])
    await customers.name(conn, refs)
    await waiting.due(conn, [ref for ref, _ in refs])
    await compute_anew(conn, context, locked)
    return max(ids)
