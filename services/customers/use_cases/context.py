"""What every use case is given, and how it runs its transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

import asyncpg

from kielto.clock import Clock
from kielto.service.database import pool
from kielto.service.database.pool import Conn, Pool, Result
from kielto.service.support.bulk_throttle import NOBODY, BulkThrottle
from kielto.service.support.crypto_keys import Keys
from services.customers.model.changing import Moment
from services.customers.model.draft import Terms
from services.customers.store.writing import ConcurrentChangeError
from services.customers.use_cases.guesses import Guesses

AGAIN: tuple[type[Exception], ...] = (
    ConcurrentChangeError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Errors after which a transaction is begun again: another one was quicker."""


@dataclass(frozen=True, slots=True)
class CustomersContext:
    """`zone`: the time zone whose days begin and end the register's. `link_duplicates`: a no binds every customer who
    may be the same person.
    """

    pool: Pool
    keys: Keys
    terms: Terms
    clock: Clock
    zone: ZoneInfo
    throttle: BulkThrottle = NOBODY
    link_duplicates: bool = True
    guesses: Guesses = field(default_factory=Guesses)

    def moment(self) -> Moment:
        at = self.clock().astimezone(self.zone)
        return Moment(at, at.date(), self.terms.age_of_majority)


async def in_transaction(context: CustomersContext, work: Callable[[Conn], Awaitable[Result]]) -> Result:
    """Like `pool.in_transaction`; also begins again when another transaction took a number or identifier first."""
    return await pool.in_transaction(context.pool, work, retry_on=AGAIN)
