"""Publish every customer's records again after a company returned to the group: its records may be old or blank."""

from uuid import UUID

from kielto.service.database.pool import Conn
from kielto.service.outbox.publish import put
from services.customers.store import reading
from services.customers.use_cases.context import CustomersContext
from services.customers.use_cases.customers.record_changes import changes

AT_ONCE = 200


async def step(conn: Conn, context: CustomersContext, after: UUID) -> UUID | None:
    """Do the next customers by ascending id; returns the last id, None at the end. Raises EpochNotOpenError."""
    ids = await reading.after(conn, after, AT_ONCE)
    found = await reading.load(conn, context.keys, ids, lock=True)
    told = [change for one in found.values() for change in changes(context, one.customer, express=False)]
    await put(conn, told)
    return ids[-1] if ids else None
