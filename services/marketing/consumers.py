"""Kafka handlers: store customers' and consents' records and recall people; store the parties' reports."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.messages import Report
from kielto.events.topics import CONSENTS, CUSTOMERS, Lane, reports
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, Stateless, Subscription
from services.marketing import projections
from services.marketing.use_cases.context import MarketingContext
from services.marketing.use_cases.recall import recall
from services.marketing.use_cases.report import take_report

Project = Callable[[Conn, list[Any]], Awaitable[list[UUID]]]
"""Stores records, and returns the people whose copy changed."""
Deny = Callable[[Conn, UUID, Version], Awaitable[list[UUID]]]
"""Stores that a person's record at a version cannot be read, and returns the person if the copy changed."""


def subscriptions(context: MarketingContext) -> list[Subscription]:
    """Everything that marketing reads: both lanes of customers and consents, and each party's reports."""
    customers = RecordsHandler(context, projections.customers, projections.deny_customer)
    permissions = RecordsHandler(context, projections.permissions, projections.deny_permissions)
    return [
        Subscription(CUSTOMERS.topic(Lane.EXPRESS), customers),
        Subscription(CUSTOMERS.topic(Lane.BULK), customers, batch=True),
        Subscription(CONSENTS.topic(Lane.EXPRESS), permissions),
        Subscription(CONSENTS.topic(Lane.BULK), permissions, batch=True),
        *(Subscription(reports(party), ReportsHandler(context, party)) for party in context.group.parties),
    ]


class RecordsHandler:
    """Stores the records of one family, and recalls whom they no longer permit."""

    def __init__(self, context: MarketingContext, project: Project, deny: Deny) -> None:
        self._context, self._project, self._deny = context, project, deny

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        changed = await self._project(conn, [read.event for read, _ in items])
        await recall(conn, changed, items[0][1].appended_at, self._context.clock())

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        del reason  # it is kept in quarantine
        changed = await self._deny(conn, UUID(key), version)
        await recall(conn, changed, meta.appended_at, self._context.clock())


class ReportsHandler(Stateless):
    def __init__(self, context: MarketingContext, party: str) -> None:
        self._context, self._party = context, party

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        assert isinstance(read.event, Report)  # the topic carries nothing else
        await take_report(conn, self._context.keys, self._party, read.event, meta.appended_at)
