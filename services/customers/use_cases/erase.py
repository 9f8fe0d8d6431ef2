"""Erase one customer: everything that is kept of them goes, with the key that it was sealed under; `erased` is
published everywhere, and stays.

What they had said to whom stays with consents, under digests: an erased person's ban binds whoever comes back.
"""

from collections.abc import Sequence
from uuid import UUID

from kielto.events.records import CompanyCustomer
from kielto.events.records import Customer as CustomerRecord
from kielto.events.topics import CUSTOMERS, customers_of
from kielto.events.words import Status
from kielto.service import telemetry
from kielto.service.outbox import Change, publish
from kielto.service.postgres import Conn
from services.customers.model.publishing import UNVERSIONED
from services.customers.store import erasing
from services.customers.use_cases.context import Context, in_transaction
from services.customers.use_cases.read import Unknown


async def erase(context: Context, ident: UUID) -> None:
    """Raises Unknown, erasing.Organisation, NotClaimed."""

    async def work(conn: Conn) -> None:
        await erase_in(conn, context, ident)

    await in_transaction(context.pool, work)


async def erase_in(conn: Conn, context: Context, ident: UUID) -> None:
    """The same in the caller's transaction."""
    companies = await erasing.erase(conn, ident)
    if companies is None:
        raise Unknown
    await publish(conn, _changes(context, ident, companies), traceparent=telemetry.current())


def _changes(context: Context, ident: UUID, companies: Sequence[str]) -> list[Change]:
    """For our own services, and for each company that has a record of them."""
    keys = context.keys
    bare = CustomerRecord(version=UNVERSIONED, subject=ident, status=Status.ERASED)
    changes = [Change(CUSTOMERS.name, str(ident), bare, express=True)]
    for company in companies:
        if company in context.terms.group.company_ids:
            subject = keys.pairwise(f"company.{company}", ident)
            own = CompanyCustomer(version=UNVERSIONED, subject=subject, status=Status.ERASED)
            family = customers_of(f"company.{company}").name
            changes.append(Change(family, subject, own, express=True, seal=keys.seal_record))
    return changes


class Erase:
    """The command: `erase CUSTOMER`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __call__(self, arguments: Sequence[str]) -> int:
        try:
            (text,) = arguments
            ident = UUID(text)
        except ValueError:
            print("usage: erase CUSTOMER (its id)")
            return 2
        try:
            await erase(self._context, ident)
        except Unknown:
            print("not erased: there is no such customer")
            return 1
        except erasing.Organisation:
            print("not erased: it is the organisation of contact persons; erase those first")
            return 1
        print("erased")
        return 0
