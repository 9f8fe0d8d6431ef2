"""Deliveries as marketing passes them on, and what is found of them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from kielto.events.digests import digest_of
from kielto.events.envelope import Read
from kielto.events.messages import MarketingEvent
from kielto.events.words import Channel, PointKind, Purpose, Recipient
from kielto.service.database.pool import Pool, transaction
from kielto.service.inbox.handlers import Meta
from kielto.service.process.application import Health, create_app
from services.consents.api import breaches
from services.consents.consumers.facts import MarketingEventsConsumer
from services.consents.use_cases import breaches as detect
from services.consents.use_cases.context import Context
from tests.integration.consents.world import ConsentsWorld, Someone
from tests.tokens import PlainTokens

NOW = datetime.now(UTC)
BOUND = 30  # the group's stale_seconds
CAMPAIGN = uuid4()
META = Meta("marketing.events.v1", uuid4(), 0, 0, int(NOW.timestamp() * 1000))


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


async def tell(context: Context, who: Someone, claimed: datetime, told: datetime, **given: Any) -> UUID:
    """marketing passes a report on, twice, and it is judged."""
    event = MarketingEvent(
        **(
            {
                "id": uuid4(),
                "what": "delivery",
                "customer": who.id,
                "company": "kauppa",
                "campaign": CAMPAIGN,
                "channel": Channel.PHONE,
                "purpose": Purpose.OWN_MARKETING,
                "at": claimed,
                "reported_at": told,
            }
            | given
        )
    )
    for _ in range(2):
        async with transaction(context.pool) as conn:
            await MarketingEventsConsumer(context).handle_batch(conn, [(Read(str(who.id), event), META)] * 2)
    await detect.detect(context)
    return event.id


def phone_of(context: Context, who: Someone | str) -> str:
    """What the company calls the phone."""
    number = who if isinstance(who, str) else who.phone
    return context.keys.point("company.kauppa", digest_of(PointKind.PHONE, number))


async def found(pool: Pool, ident: UUID) -> str | None:
    text: str | None = await pool.fetchval("SELECT found FROM deliveries WHERE id = $1", ident)
    return text


async def opened(pool: Pool) -> set[UUID]:
    return {row["id"] for row in await pool.fetch("SELECT id FROM breaches")}


@pytest.fixture
async def who(world: ConsentsWorld) -> Someone:
    someone = Someone(("kauppa",))
    await world.know(someone)
    return someone


async def with_a_contact(world: ConsentsWorld) -> tuple[Someone, Someone]:
    """An organisation, and who acts for it."""
    organisation, contact = Someone(), Someone()
    await world.know(organisation, recipient=Recipient.LEGAL)
    await world.know(contact, recipient=Recipient.CONTACT, organisation=organisation.id)
    return organisation, contact


@pytest.fixture
async def http(pool: Pool, context: Context) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(
        "consents",
        [breaches.router(context)],
        pool=pool,
        verifier=PlainTokens(),
        health=Health(claimed=True),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client
