"""The records to publish of one customer: for our own services, and for each company; and publishing all again."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from uuid import UUID

from kielto.events.party import Party
from kielto.events.records import CompanyCustomer
from kielto.events.records import Customer as CustomerRecord
from kielto.events.topics import CUSTOMERS, customers_of
from kielto.service.database.pool import Conn
from kielto.service.outbox.publish import RecordChange, put
from services.customers.model import publishing
from services.customers.model.customer import RegisteredCustomer
from services.customers.store import reading
from services.customers.use_cases.context import CustomersContext

AT_ONCE = 200
"""Customers whose records are published again in one transaction."""


def changes(context: CustomersContext, customer: RegisteredCustomer, *, express: bool) -> list[RecordChange]:
    """Records of a customer who is neither merged nor erased: for our services and every company where they are or
    were a customer.
    """

    def own(company: str) -> CompanyCustomer:
        return publishing.entitled(customer, company, context.keys)

    record = publishing.record(_bound(context, customer), context.keys)
    return changes_to(context, record, customer.companies, own, express=express)


def for_ourselves(context: CustomersContext, customer: RegisteredCustomer, *, express: bool) -> RecordChange:
    """The record for our own services, after only the links changed."""
    record = publishing.record(_bound(context, customer), context.keys)
    return RecordChange(CUSTOMERS.name, str(record.subject), record, express)


def relinked(
    context: CustomersContext, moved: Iterable[tuple[RegisteredCustomer, RegisteredCustomer]]
) -> list[RecordChange]:
    """Records of customers, each before and after, of whom only the links changed; express where that restricts."""
    return [for_ourselves(context, new, express=publishing.restricts(old, new)) for old, new in moved]


def _bound(context: CustomersContext, customer: RegisteredCustomer) -> RegisteredCustomer:
    return customer if context.link_duplicates else replace(customer, links=frozenset())


def changes_to(
    context: CustomersContext,
    record: CustomerRecord,
    companies: Iterable[str],
    own: Callable[[str], CompanyCustomer],
    *,
    express: bool,
) -> list[RecordChange]:
    """`own`: the record for a company, by its id. A company that left the group may have no keys any more: nothing
    personal is kept of it then (`kielto.service.outbox.parties`).
    """
    told = [RecordChange(CUSTOMERS.name, str(record.subject), record, express)]
    for company in companies:
        party = Party.company(company)
        if context.keys.knows(party):
            theirs, marked = own(company), company in context.terms.group.company_ids
            family, encrypt = customers_of(party).name, context.keys.encrypt_record
            told.append(RecordChange(family, theirs.subject, theirs, express, encrypt=encrypt, marked=marked))
    return told


async def publish_next(context: CustomersContext, conn: Conn, after: UUID) -> UUID | None:
    """Publish the records of the next customers by ascending id again, after a company returned to the group: its
    records may be old or blank. Returns the last id, None at the end. Raises EpochNotOpenError.
    """
    ids = await reading.after(conn, after, AT_ONCE)
    found = await reading.load(conn, context.keys, ids, lock=True)
    await put(
        conn, [change for one in found.values() for change in changes(context, one.customer, express=False)]
    )
    return ids[-1] if ids else None
