"""Read customers: one by its id, or by a company's customer number; and what of its imports could not be read."""

from uuid import UUID

from kielto.errors import KieltoError
from kielto.events.words import PointKind
from kielto.service.database import audit_entry
from kielto.service.database.pool import Conn
from services.customers.model import entitlement
from services.customers.model.customer import CustomerAlias, StoredCustomer
from services.customers.store import reading, unreadable
from services.customers.store.unreadable import KeptPoint
from services.customers.use_cases.context import CustomersContext


class NoSuchCustomerError(KieltoError):
    """There is no such customer, or none that the caller may see; the two look the same."""


def visible(stored: StoredCustomer | None, scope: str | None) -> StoredCustomer:
    """The customer, if the caller may see it: a company sees only its present and former customers. Raises
    NoSuchCustomerError.
    """
    if stored is None or not entitlement.is_of(stored.customer, scope):
        raise NoSuchCustomerError
    return stored


async def read(context: CustomersContext, ident: UUID, scope: str | None) -> StoredCustomer | CustomerAlias:
    """Raises NoSuchCustomerError."""
    async with context.pool.acquire() as conn:
        stored = (await reading.load(conn, context.keys, [ident])).get(ident)
        if stored is None and (merged := await alias(conn, ident, scope)):
            return merged
        return visible(stored, scope)


async def alias(conn: Conn, ident: UUID, scope: str | None) -> CustomerAlias | None:
    """The alias of a merged customer if the caller may see it, else None."""
    found = await reading.alias(conn, ident)
    return found if found and (scope is None or scope in found.companies) else None


async def find(context: CustomersContext, canonical: str) -> StoredCustomer | None:
    """The customer with this number, `<company>:<number>` in canonical form."""
    async with context.pool.acquire() as conn:
        while ident := (await reading.by_number(conn, [canonical])).get(canonical):
            if stored := (await reading.load(conn, context.keys, [ident])).get(ident):
                audit_entry.about(ident)
                return stored
    return None  # a number never stays with somebody who was merged or erased in between


async def read_unreadable(context: CustomersContext, ident: UUID, scope: str | None) -> list[KeptPoint]:
    """A company is shown what it gave itself, while the customership is in force; no postal addresses under a safety
    ban that it knows of: what another company states of one is not to be seen by what is missing here. Raises
    NoSuchCustomerError.
    """
    async with context.pool.acquire() as conn:
        stored = visible((await reading.load(conn, context.keys, [ident])).get(ident), scope)
        if scope is not None and not stored.customer.active_in(scope):
            return []
        kept = await unreadable.kept(conn, stored.key, ident, scope)
    hidden = entitlement.address_hidden(stored.customer, scope)
    return [k for k in kept if not (hidden and k.kind is PointKind.POST)]
