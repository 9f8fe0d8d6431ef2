"""Customers' records, on both lanes."""

from collections.abc import Sequence
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.records import Customer
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta
from services.consents import projections
from services.consents.consumers.stateless import appended_at
from services.consents.use_cases.context import Context
from services.consents.use_cases.permissions.apply_facts import deny_customer, take_in_customers


class CustomersConsumer:
    """Facts, on both lanes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = (read.event for read, _ in items if isinstance(read.event, Customer))
        rows = projections.newest(records, self._context.keys)
        await take_in_customers(conn, self._context, rows, min(appended_at(meta) for _, meta in items))

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:  # noqa: ARG002
        await deny_customer(conn, self._context, UUID(key), version)
