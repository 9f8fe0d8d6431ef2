"""Merge two customers who are one person or one organisation: the survivor gets what the duplicate had, and the
duplicate stays as an alias.

A merge restricts: whatever either of them banned binds both from now on. It cannot be undone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from kielto.events.records import CompanyCustomer
from kielto.service.database import audit_entry, epoch
from kielto.service.database.pool import Conn
from kielto.service.outbox.publish import RecordChange, put
from kielto.service.support import tracing
from services.customers.model import merging, publishing
from services.customers.model.customer import Facts, RegisteredCustomer, StoredCustomer
from services.customers.model.problems import refused
from services.customers.store import linking, persons, reading, writing
from services.customers.store import merging as moving
from services.customers.store.persons import LockedCustomer
from services.customers.store.writing import Write
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.link import look_around, relink
from services.customers.use_cases.read import NoSuchCustomerError
from services.customers.use_cases.record_changes import changes, changes_to, for_ourselves, relinked


async def merge(
    context: CustomersContext, duplicate: UUID, into: UUID, *, restoring: bool = False
) -> StoredCustomer:
    """Merge and return the survivor; if `into` is an alias, its survivor. Merging again changes nothing. `restoring`:
    also while no epoch is open. Raises NoSuchCustomerError (no such duplicate), CustomerRefusedError,
    EpochNotOpenError.
    """

    async def work(conn: Conn) -> StoredCustomer:
        if restoring:
            await epoch.commit_while_closed(conn)
        audit_entry.about(duplicate, into)
        blinds = await _blinds(conn, duplicate, into)
        await linking.lock_keys(conn, blinds)
        rows = await persons.lock(conn, [duplicate, into])
        if await _blinds(conn, duplicate, into) - blinds:
            raise writing.ConcurrentChangeError
        survivor = _survivor(rows, duplicate, into)
        if rows[duplicate].alias_of != survivor:
            contacts = _contacts(rows, duplicate)
            others = {duplicate, survivor, *contacts}
            near = [i for i, row in rows.items() if row.alias_of is None and i not in others]
            await _merge(conn, context, duplicate, survivor, contacts, near)
            await _look_again(conn, context, survivor)
        return (await reading.load(conn, context.keys, [survivor]))[survivor]

    return await in_transaction(context, work)


async def _blinds(conn: Conn, *customers: UUID) -> set[bytes]:
    return {blind for ident in customers for blind in await persons.blinds(conn, ident)}


async def _look_again(conn: Conn, context: CustomersContext, survivor: UUID) -> None:
    """Link the survivor again: with the duplicate's contact points it may be the same person as other customers than
    before.
    """
    around = await look_around(conn, context, (), {survivor})
    stored = await reading.load(conn, context.keys, {survivor} | around.ids, lock=True)
    present = {ident: s.customer for ident, s in stored.items()}
    moved = await relink(conn, context, around, present, [survivor])
    told = relinked(context, ((present[ident], customer) for ident, customer in moved.items()))
    await put(conn, told, traceparent=tracing.current())


def _survivor(rows: Mapping[UUID, LockedCustomer], duplicate: UUID, into: UUID) -> UUID:
    if duplicate not in rows:
        raise NoSuchCustomerError
    if into not in rows:
        raise refused("into", "must be a customer in the register")
    survivor, merged_into = rows[into].alias_of or into, rows[duplicate].alias_of
    if into == duplicate or survivor == duplicate:
        raise refused("into", "must be another customer")
    if merged_into not in (None, survivor):
        raise refused("customer", "is an alias of another customer: merge that one instead")
    return survivor


def _contacts(rows: Mapping[UUID, LockedCustomer], duplicate: UUID) -> list[UUID]:
    """Contact persons who act for the duplicate, or are that person, by whatever id of it."""
    ids = {duplicate, *(i for i, row in rows.items() if row.alias_of == duplicate)}
    return [i for i, row in rows.items() if ids & (row.organisations | row.persons)]


def _pointed(customer: RegisteredCustomer, duplicate: UUID, survivor: UUID) -> RegisteredCustomer:
    """A contact person whose organisation, or whose person, is the survivor from now on."""

    def instead(ident: UUID | None) -> UUID | None:
        return survivor if ident == duplicate else ident

    facts = {
        s: replace(f, organisation=instead(f.organisation), person=instead(f.person))
        for s, f in customer.facts.items()
    }
    links = frozenset(survivor if i == duplicate else i for i in customer.links) - {customer.id}
    return replace(customer, facts=facts, links=links)


def _identified(old: RegisteredCustomer, new: RegisteredCustomer) -> dict[str, Facts]:
    """What the survivor's rows hold once the duplicate's identifiers are moved there."""
    return {
        source: replace(old.stated_by(source), identity=facts.identity, business_id=facts.business_id)
        for source, facts in new.facts.items()
    }


async def _merge(
    conn: Conn,
    context: CustomersContext,
    duplicate: UUID,
    survivor: UUID,
    contacts: Sequence[UUID],
    near: Sequence[UUID],
) -> None:
    found = await reading.load(conn, context.keys, [duplicate, survivor, *contacts, *near])
    old, gone = found[survivor], found[duplicate]
    new = merging.merge(old.customer, gone.customer)
    moved = [_pointed(found[i].customer, duplicate, survivor) for i in contacts]
    await moving.move(conn, gone, old)
    await linking.move(conn, duplicate, survivor)
    # Identifiers and customerships went with `move`; statements and contact points are left to be written.
    held = replace(old.customer, facts=_identified(old.customer, new), customerships=new.customerships)
    writes = [Write(new, old, moved=held)]
    writes += [Write(customer, found[customer.id]) for customer in moved]
    await writing.store(conn, context.keys, writes)
    told = _alias(context, gone.customer, survivor)
    for customer in (new, *moved):
        told += changes(context, customer, express=True)
    for ident in near:  # who was linked to the duplicate is linked to the survivor now
        customer = found[ident].customer
        if duplicate in customer.links:
            linked = replace(customer, links=(customer.links - {duplicate}) | {survivor})
            told.append(for_ourselves(context, linked, express=True))
    await put(conn, told, traceparent=tracing.current())


def _alias(context: CustomersContext, gone: RegisteredCustomer, survivor: UUID) -> list[RecordChange]:
    def own(company: str) -> CompanyCustomer:
        return publishing.alias_for(gone, company, context.keys)

    record = publishing.alias(gone, survivor, context.keys)
    return changes_to(context, record, gone.companies, own, express=True)
