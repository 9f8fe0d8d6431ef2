"""Erase one customer: delete everything, with the key it was encrypted under, and publish `erased` everywhere. A
merged customer is erased whole, by whichever of their ids is named.

Their decisions stay with consents, under digests: an erased person's ban binds whoever comes back.
"""

from collections.abc import Sequence
from uuid import UUID

from kielto.events.party import Party
from kielto.events.records import CompanyCustomer
from kielto.events.records import Customer as CustomerRecord
from kielto.events.words import Status
from kielto.service.database import epoch
from kielto.service.database.pool import Conn
from kielto.service.outbox.publish import RecordChange, put
from kielto.service.support import tracing
from services.customers.model.publishing import UNVERSIONED
from services.customers.store import linking, persons
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.read import NoSuchCustomerError
from services.customers.use_cases.record_changes import changes_to


async def erase(context: CustomersContext, ident: UUID, *, restoring: bool = False) -> None:
    """`restoring`: also while no epoch is open. Raises NoSuchCustomerError, HasContactPersonsError,
    EpochNotOpenError.
    """

    async def work(conn: Conn) -> None:
        if restoring:
            await epoch.commit_while_closed(conn)
        blinds = await persons.blinds(conn, ident)
        await linking.lock_keys(conn, blinds)
        erased = await persons.erase(conn, ident)
        if erased is None:
            raise NoSuchCustomerError
        await linking.forget(conn, erased)
        await linking.drop_keys(conn, blinds)
        told = [change for key, companies in erased.items() for change in _changes(context, key, companies)]
        await put(conn, told, traceparent=tracing.current())

    await in_transaction(context, work)


def _changes(context: CustomersContext, ident: UUID, companies: Sequence[str]) -> list[RecordChange]:
    """For our own services, and for each company that has a record of them."""

    def own(company: str) -> CompanyCustomer:
        subject = context.keys.pairwise(Party.company(company), ident)
        return CompanyCustomer(version=UNVERSIONED, subject=subject, status=Status.ERASED)

    bare = CustomerRecord(version=UNVERSIONED, subject=ident, status=Status.ERASED)
    return changes_to(context, bare, companies, own, express=True)
