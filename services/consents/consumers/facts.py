"""Facts of other services: customers' records, and marketing's disclosures and deliveries."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from kielto.events.envelope import Read
from kielto.events.messages import MarketingEvent, Unaddressed
from kielto.events.party import Party
from kielto.events.records import Customer
from kielto.events.versions import Version
from kielto.events.words import Channel
from kielto.service.database.pool import Conn
from kielto.service.inbox.handlers import Meta, PermanentError, Stateless
from services.consents import projections
from services.consents.model.breach import Delivery
from services.consents.model.facts import Disclosure
from services.consents.model.ref import Ref
from services.consents.use_cases.breaches import add_reports
from services.consents.use_cases.context import Context
from services.consents.use_cases.decisions.command import storable
from services.consents.use_cases.permissions.apply_facts import (
    deny_customer,
    take_in_customers,
    take_in_disclosures,
)


class CustomersConsumer:
    """Facts, on both lanes."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        records = (read.event for read, _ in items if isinstance(read.event, Customer))
        rows = projections.newest(records, self._context.keys)
        await take_in_customers(conn, self._context, rows, min(meta.appended_at for _, meta in items))

    async def deny(self, conn: Conn, key: str, version: Version, reason: str, meta: Meta) -> None:  # noqa: ARG002
        await deny_customer(conn, self._context, UUID(key), version)


class MarketingEventsConsumer(Stateless):
    """Disclosures to partners, and deliveries, which are held against permissions; responses are not for us."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def handle(self, conn: Conn, read: Read, meta: Meta) -> None:
        await self.handle_batch(conn, [(read, meta)])

    async def handle_batch(self, conn: Conn, items: Sequence[tuple[Read, Meta]]) -> None:
        rows = [
            self._row(event, event.partner)
            for read, _ in items
            if isinstance(event := read.event, MarketingEvent) and event.what == "disclosure"
            if event.partner is not None
        ]
        if rows:
            await take_in_disclosures(conn, self._context, rows)
        await add_reports(conn, [_delivery(event, meta) for event, meta in delivered(items)])

    def _row(self, event: MarketingEvent, partner: str) -> Disclosure:
        party = Party.partner(partner)
        if party not in (*self._context.group.parties, *self._context.left):
            raise PermanentError("partner: must be a partner of the group")
        keys = self._context.keys  # those of a partner that has left may be gone
        ref = Ref.of_party(party, keys.pairwise(party, event.customer)) if keys.knows(party) else None
        return Disclosure(event.customer, partner, event.company, event.at, ref)


def delivered(items: Sequence[tuple[Read, Meta]]) -> Iterator[tuple[MarketingEvent | Unaddressed, Meta]]:
    for read, meta in items:
        match read.event:
            case MarketingEvent(what="delivery", channel=Channel()) | Unaddressed() as event:
                yield event, meta


def _delivery(event: MarketingEvent | Unaddressed, meta: Meta) -> Delivery:
    """It was sent when the sender says, but no later than it was told; marketing of old did not say when that was.

    Whom no campaign was given is named as the party calls them: it has that id from a record of ours.
    """
    assert event.channel is not None
    told = min(event.reported_at or meta.appended_at, meta.appended_at)
    return Delivery(
        id=event.id,
        customer=event.customer if isinstance(event, MarketingEvent) else None,
        subject=Ref.of_party(event.party, event.subject) if isinstance(event, Unaddressed) else None,
        company=event.company,
        partner=event.partner,
        campaign=event.campaign,
        channel=event.channel,
        purpose=event.purpose,
        claimed_at=storable(event.at, told),
        reported_at=told,
        point=event.point,
    )
