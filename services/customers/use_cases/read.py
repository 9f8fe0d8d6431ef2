"""Read customers: one by its id, or by a company's customer number."""

from uuid import UUID

from services.customers.store import reading
from services.customers.store.reading import Stored
from services.customers.use_cases.context import Context


class Unknown(Exception):
    """There is no such customer, or none that the caller may see: the two are not told apart."""


def visible(stored: Stored | None, scope: str | None) -> Stored:
    """A caller of a company sees only who is or was its customer. Raises Unknown."""
    if stored is None or (scope is not None and scope not in stored.customer.companies):
        raise Unknown
    return stored


async def read(context: Context, ident: UUID, scope: str | None) -> Stored:
    """Raises Unknown."""
    async with context.pool.acquire() as conn:
        return visible((await reading.load(conn, context.keys, [ident])).get(ident), scope)


async def find(context: Context, canonical: str) -> Stored | None:
    """The customer with this number, `<company>:<number>` in canonical form."""
    async with context.pool.acquire() as conn:
        ident = (await reading.by_number(conn, [canonical])).get(canonical)
        return (await reading.load(conn, context.keys, [ident]))[ident] if ident else None
