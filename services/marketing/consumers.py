"""Kafka in: customers' and consents' records become what we keep, and recalls; parties' reports are kept."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.messages import Report
from kielto.events.records import Customer, CustomerPermissions
from kielto.events.topics import CONSENTS, CUSTOMERS, Family, Lane, reports
from kielto.events.versions import Version
from kielto.group import Group
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, Subscription
from kielto.service.support.clock import Clock
from kielto.service.support.crypto_keys import Keys
from services.marketing import projections
from services.marketing.use_cases.recall import recall
from services.marketing.use_cases.report import take_report


def subscriptions(group: Group, keys: Keys, clock: Clock) -> list[Subscription]:
    """Everything that marketing reads: both lanes of customers and consents, and each party's reports."""
    return [
        *_pair(CUSTOMERS, CustomersHandler(clock)),
        *_pair(CONSENTS, PermissionsHandler(clock)),
        *(Subscription(reports(party), ReportsHandler(keys, party)) for party in group.parties),
    ]


def _pair(family: Family, handler: "CustomersHandler | PermissionsHandler") -> list[Subscription]:
    return [
        Subscription(family.topic(Lane.EXPRESS), handler),
        Subscription(family.topic(Lane.BULK), handler, batch=True),
    ]


class CustomersHandler:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = [read.event for read, _ in items if isinstance(read.event, Customer)]
        changed = await projections.customers(conn, records)
        await recall(conn, changed, _published(items[0][1]), self._clock())

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        del reason  # it is kept in quarantine
        changed = await projections.deny_customer(conn, UUID(key), version)
        await recall(conn, changed, _published(meta), self._clock())


class PermissionsHandler:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = [read.event for read, _ in items if isinstance(read.event, CustomerPermissions)]
        changed = await projections.permissions(conn, records)
        await recall(conn, changed, _published(items[0][1]), self._clock())

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        del reason
        changed = await projections.deny_permissions(conn, UUID(key), version)
        await recall(conn, changed, _published(meta), self._clock())


class ReportsHandler:
    def __init__(self, keys: Keys, party: str) -> None:
        self._keys, self._party = keys, party

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        assert isinstance(read.event, Report)  # the topic carries nothing else
        await take_report(conn, self._keys, self._party, read.event, _published(meta))

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        """A report is no state: one that cannot be read denies nothing, and waits in quarantine."""


def _published(meta: Meta) -> datetime:
    return datetime.fromtimestamp(meta.timestamp_ms / 1000, UTC)
