"""Pairs that may be one customer: listed for the group, and marked as different people. `merge` joins them."""

from dataclasses import replace
from uuid import UUID

from kielto.service.database.pool import Conn
from kielto.service.outbox.publish import put
from kielto.service.support import tracing
from services.customers.model import linking as rules
from services.customers.model.linking import Candidate, Contradiction
from services.customers.model.problems import refused
from services.customers.store import linking, persons, reading
from services.customers.store.linking import Pair
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.read import NoSuchCustomerError
from services.customers.use_cases.record_changes import relinked

PAGE = 100
FIRST = UUID(int=0)


async def candidates(
    context: CustomersContext, after: Pair = (FIRST, FIRST), limit: int = PAGE
) -> list[Candidate]:
    async with context.pool.acquire() as conn:
        return await linking.candidates(conn, after, limit)


async def contradictions(
    context: CustomersContext, after: UUID = FIRST, limit: int = PAGE
) -> list[Contradiction]:
    async with context.pool.acquire() as conn:
        return await linking.contradictions(conn, after, limit)


async def mark_apart(context: CustomersContext, one: UUID, other: UUID, reason: str, by: str) -> None:
    """Record that these are different people, so that no link between them binds. Idempotent. Raises
    NoSuchCustomerError, CustomerRefusedError, EpochNotOpenError.
    """
    if one == other:
        raise refused("other", "must be another customer")
    (pair,) = rules.pairs([(one, other)])

    async def work(conn: Conn) -> None:
        await persons.lock(conn, pair)
        stored = await reading.load(conn, context.keys, pair)
        if {*pair} - stored.keys():
            raise NoSuchCustomerError
        await linking.put_apart(conn, *pair, reason, by)
        await linking.keep(conn, {}, [pair])
        customers = [s.customer for s in stored.values()]
        told = relinked(context, ((c, replace(c, links=c.links - {*pair})) for c in customers))
        await put(conn, told, traceparent=tracing.current())

    await in_transaction(context, work)
