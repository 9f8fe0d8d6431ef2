"""Kafka handlers: store customers' and consents' records and recall people; store the parties' reports."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.messages import Report
from kielto.events.records import Customer, CustomerPermissions
from kielto.events.topics import CONSENTS, CUSTOMERS, Family, Lane, reports
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, Subscription
from services.marketing import projections
from services.marketing.use_cases.context import MarketingContext
from services.marketing.use_cases.recall import recall
from services.marketing.use_cases.report import take_report


def subscriptions(context: MarketingContext) -> list[Subscription]:
    """Everything that marketing reads: both lanes of customers and consents, and each party's reports."""
    return [
        *_pair(CUSTOMERS, CustomersHandler(context)),
        *_pair(CONSENTS, PermissionsHandler(context)),
        *(Subscription(reports(party), ReportsHandler(context, party)) for party in context.group.parties),
    ]


def _pair(family: Family, handler: "CustomersHandler | PermissionsHandler") -> list[Subscription]:
    return [
        Subscription(family.topic(Lane.EXPRESS), handler),
        Subscription(family.topic(Lane.BULK), handler, batch=True),
    ]


class CustomersHandler:
    def __init__(self, context: MarketingContext) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = [read.event for read, _ in items if isinstance(read.event, Customer)]
        changed = await projections.customers(conn, records)
        await recall(conn, changed, _published(items[0][1]), self._context.clock())

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        del reason  # it is kept in quarantine
        changed = await projections.deny_customer(conn, UUID(key), version)
        await recall(conn, changed, _published(meta), self._context.clock())


class PermissionsHandler:
    def __init__(self, context: MarketingContext) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = [read.event for read, _ in items if isinstance(read.event, CustomerPermissions)]
        changed = await projections.permissions(conn, records)
        await recall(conn, changed, _published(items[0][1]), self._context.clock())

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        del reason
        changed = await projections.deny_permissions(conn, UUID(key), version)
        await recall(conn, changed, _published(meta), self._context.clock())


class ReportsHandler:
    def __init__(self, context: MarketingContext, party: str) -> None:
        self._context, self._party = context, party

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        assert isinstance(read.event, Report)  # the topic carries nothing else
        await take_report(conn, self._context.keys, self._party, read.event, _published(meta))

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        """A report is no state: one that cannot be read denies nothing, and waits in quarantine."""


def _published(meta: Meta) -> datetime:
    return datetime.fromtimestamp(meta.timestamp_ms / 1000, UTC)
