"""Minors come of age as time passes: checked once a day, and at start."""

import asyncio
from datetime import datetime, time, timedelta
from uuid import UUID

from kielto.service.database.pool import Conn
from services.customers.model.draft import Draft, Speaker
from services.customers.store import reading
from services.customers.use_cases.context import CustomersContext, in_transaction
from services.customers.use_cases.register import Registration, register

_BATCH = 500


async def come_of_age(context: CustomersContext) -> int:
    """Check every minor once; returns how many came of age."""
    changed, after = 0, UUID(int=0)
    while True:

        async def work(conn: Conn, after: UUID = after) -> tuple[list[UUID], int]:
            ids = await reading.minors(conn, after, _BATCH)
            # A draft that says nothing: only the day is new.
            outcomes = await register(
                conn, context, [Registration(Draft(), Speaker(), target=i) for i in ids]
            )
            return ids, sum(o.status == "changed" for o in outcomes)

        ids, count = await in_transaction(context, work)
        changed += count
        if len(ids) < _BATCH:
            return changed
        after = ids[-1]


async def every_day(context: CustomersContext) -> None:
    """Run now and shortly after each midnight in the register's time zone, until cancelled."""
    while True:
        await come_of_age(context)
        now = context.moment().at
        midnight = datetime.combine(now.date() + timedelta(days=1), time(0, 1), now.tzinfo)
        await asyncio.sleep(max(1.0, (midnight - now).total_seconds()))
