"""Records as customers and consents publish them, taken in as the consumers do; and what came of it."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from kielto.events.digests import digest_of
from kielto.events.records import (
    Allow,
    AllowedPoint,
    CompanyPermissions,
    Customer,
    CustomerPermissions,
    CustomerPoint,
)
from kielto.events.words import Channel, Mode, PointKind, Purpose, Status
from kielto.service.database.pool import Conn, Pool, transaction
from kielto.service.support.crypto_keys import Keys
from services.marketing import projections
from services.marketing.model.campaign import Aim, Campaign, CampaignState
from services.marketing.store import campaigns
from services.marketing.use_cases.build_audience import address_next
from services.marketing.use_cases.campaigns import launch
from services.marketing.use_cases.recall import recall

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
OWN_EMAIL = Aim("kauppa", Purpose.OWN_MARKETING, Channel.EMAIL, "groceries")
OWN_POST = Aim("kauppa", Purpose.OWN_MARKETING, Channel.POST, "groceries")
THEIR_POST = Aim("kauppa", Purpose.PARTNER_MARKETING, Channel.POST, None, "matkat", Mode.PARTNER_SENDS)
OUR_EMAIL = Aim("kauppa", Purpose.PARTNER_MARKETING, Channel.EMAIL, None, "matkat", Mode.WE_SEND)


@dataclass(frozen=True)
class MarketedPerson:
    """Someone with an e-mail address and a postal one."""

    id: UUID
    email: UUID
    post: UUID

    @property
    def address(self) -> str:
        return f"person{self.email.int}@example.com"


def person() -> MarketedPerson:
    return MarketedPerson(uuid4(), uuid4(), uuid4())


def customer(
    keys: Keys, who: MarketedPerson, n: int = 1, status: Status = Status.LIVE, epoch: int = 1
) -> Customer:
    encrypted = keys.encrypt(digest_of(PointKind.EMAIL, who.address))
    points = (
        ()
        if status is Status.ERASED
        else (
            CustomerPoint(id=who.email, kind_of=PointKind.EMAIL, digest=encrypted),
            CustomerPoint(id=who.post, kind_of=PointKind.POST),
        )
    )
    return Customer(version=f"{epoch}.{n}", subject=who.id, status=status, points=points)


def allow(aim: Aim, groups: tuple[str, ...] | None = None) -> Allow:
    """Exactly what the aim wants; limited to product groups where some are given."""
    return Allow(purpose=aim.purpose, partner=aim.partner, mode=aim.mode, product_groups=groups)


def permissions(
    who: MarketedPerson,
    n: int,
    aims: Iterable[Aim] = (),
    *,
    status: Status = Status.LIVE,
    company: str = "kauppa",
    epoch: int = 1,
) -> CustomerPermissions:
    """Everything that these aims want, and nothing else."""
    points = tuple(
        AllowedPoint(
            point=str(who.email if aim.channel is Channel.EMAIL else who.post),
            channel=aim.channel,
            allow=(allow(aim),),
        )
        for aim in (() if status is Status.ERASED else aims)
    )
    return CustomerPermissions(
        version=f"{epoch}.{n}",
        subject=who.id,
        status=status,
        companies=(CompanyPermissions(company=company, points=points),) if points else (),
    )


async def take_in(conn: Conn, *records: Customer | CustomerPermissions) -> None:
    """As the consumers do, in the caller's transaction."""
    changed = await projections.customers(conn, [r for r in records if isinstance(r, Customer)])
    changed += await projections.permissions(conn, [r for r in records if isinstance(r, CustomerPermissions)])
    await recall(conn, changed, NOW, NOW)


async def know(pool: Pool, *records: Customer | CustomerPermissions) -> None:
    async with transaction(pool) as conn:
        await take_in(conn, *records)


async def draft(pool: Pool, aim: Aim) -> Campaign:
    campaign = Campaign(uuid4(), "a campaign", aim, CampaignState.OPEN, NOW)
    async with transaction(pool) as conn:
        await campaigns.insert(conn, campaign)
    return campaign


async def launched(pool: Pool, keys: Keys, aim: Aim, chunk: int = 1000) -> Campaign:
    """A campaign whose launch is complete."""
    campaign = await draft(pool, aim)
    await launch(pool, campaign.id, NOW)
    while await address_next(pool, keys, NOW, chunk):
        pass
    return campaign


async def said(pool: Pool, topic: str) -> list[dict[str, Any]]:
    """The messages of a topic that wait to be sent, in their order."""
    rows = await pool.fetch("SELECT key, value FROM reports WHERE topic = $1 ORDER BY id", topic)
    return [json.loads(row["value"]) | {"_key": row["key"]} for row in rows]


async def standing(pool: Pool, campaign: Campaign) -> set[UUID]:
    rows = await pool.fetch(
        "SELECT customer FROM recipients WHERE campaign = $1 AND recalled_at IS NULL", campaign.id
    )
    return {row["customer"] for row in rows}


def actions(messages: Sequence[dict[str, Any]], subject: str) -> list[str]:
    return [message["action"] for message in messages if message["subject"] == subject]
