"""What every use case is given, and how it runs its transaction."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

import asyncpg

from kielto.service.database import pool
from kielto.service.database.pool import Conn, Pool, Result
from kielto.service.support.bulk_throttle import NOBODY, BulkThrottle
from kielto.service.support.crypto_keys import Keys
from services.customers.model.changing import Moment
from services.customers.model.draft import Terms
from services.customers.store.writing import ConcurrentChangeError
from services.customers.use_cases.links.guesses import Guesses

AGAIN: tuple[type[Exception], ...] = (
    ConcurrentChangeError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)
"""Another transaction got in the way: begin again."""


@dataclass(frozen=True, slots=True)
class CustomersContext:
    """`clock` gives the time with a zone; `zone` is where the register is kept: its days begin and end
    there. `link_duplicates`: a no binds every record that may be the same person's.
    """

    pool: Pool
    keys: Keys
    terms: Terms
    clock: Callable[[], datetime]
    zone: ZoneInfo
    courtesy: BulkThrottle = NOBODY
    link_duplicates: bool = True
    guesses: Guesses = field(default_factory=Guesses)

    def moment(self) -> Moment:
        at = self.clock().astimezone(self.zone)
        return Moment(at, at.date(), self.terms.age_of_majority)


async def in_transaction(context: CustomersContext, work: Callable[[Conn], Awaitable[Result]]) -> Result:
    """As `pool.in_transaction`; again also when somebody else took a number first."""
    return await pool.in_transaction(context.pool, work, retry_on=AGAIN)
