"""What imports gave of a customer that cannot be read."""

from uuid import UUID

from kielto.events.words import PointKind
from services.customers.model.customer import GROUP, RegisteredCustomer
from services.customers.store import reading, unreadable
from services.customers.store.unreadable import KeptPoint
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.customers.read import visible


async def read_unreadable(context: CustomersContext, ident: UUID, scope: str | None) -> list[KeptPoint]:
    """A company is shown what it gave itself, while the customership is in force; no postal addresses under a safety
    ban that it knows of. Raises NoSuchCustomerError.
    """
    async with context.pool.acquire() as conn:
        stored = visible((await reading.load(conn, context.keys, [ident])).get(ident), scope)
        if scope is not None and not stored.customer.active_in(scope):
            return []
        kept = await unreadable.kept(conn, stored.key, ident, scope)
    return [k for k in kept if not (_hidden(stored.customer, scope) and k.kind is PointKind.POST)]


def _hidden(customer: RegisteredCustomer, scope: str | None) -> bool:
    """What another company states of a safety ban is not to be seen by what is missing here."""
    if scope is None:
        return customer.safety_ban
    return any(customer.stated_by(source).safety_ban for source in (GROUP, scope))
