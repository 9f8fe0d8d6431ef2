"""A second service in a page: keeps a copy of the people, guarded by version."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.records import Customer
from kielto.events.topics import CUSTOMERS, Lane
from kielto.events.versions import Version
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, Subscription
from kielto.service.process.main import main
from kielto.service.process.platform import Platform, Service

_COPY = """
INSERT INTO copies AS c (id, epoch, n, deceased)
SELECT * FROM unnest($1::uuid[], $2::integer[], $3::bigint[], $4::boolean[])
ON CONFLICT (id) DO UPDATE SET epoch = excluded.epoch, n = excluded.n, deceased = excluded.deceased
WHERE (c.epoch, c.n) < (excluded.epoch, excluded.n)"""


class CustomerCopies:
    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        newest: dict[UUID, Customer] = {}
        for read, _ in items:
            if isinstance(read.event, Customer):
                known = newest.get(read.event.subject)
                if known is None or known.at_version < read.event.at_version:
                    newest[read.event.subject] = read.event
        await conn.execute(
            _COPY,
            list(newest),
            [customer.at_version.epoch for customer in newest.values()],
            [customer.at_version.n for customer in newest.values()],
            [customer.deceased for customer in newest.values()],
        )

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:
        await conn.execute(_COPY, [UUID(key)], [version.epoch], [version.n], [None])


def build(platform: Platform) -> Service:
    del platform
    copies = CustomerCopies()
    return Service(
        families=(),
        subscriptions=[
            Subscription(CUSTOMERS.topic(Lane.EXPRESS), copies),
            Subscription(CUSTOMERS.topic(Lane.BULK), copies, batch=True),
        ],
    )


if __name__ == "__main__":
    main("marketing", Path(__file__).parent / "reader_migrations", build)
