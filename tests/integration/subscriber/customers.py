"""Customers with one e-mail address each, and questions about them."""

import asyncio

from kielto.events.digests import digest_of, point_of
from kielto.events.records import AllowedPoint, Permissions
from kielto.events.words import PointKind
from kielto.subscriber import Channel, Purpose, Question, Subscriber
from tests.integration.subscriber.relay import HandDrivenRelay
from tests.unit.subscriber.logs import OWN, hexes, permissions

POINT_KEY = b"p" * 32
NAMES = [f"c{i}" for i in range(300)]


def mail(name: str) -> str:
    return point_of(POINT_KEY, digest_of(PointKind.EMAIL, f"{name}@example.com"))


def customer(name: str, version: str = "1.1", allowed: bool = True) -> Permissions:
    listed = (AllowedPoint(point=mail(name), channel="email", allow=(OWN,)),) if allowed else ()
    return permissions(name, version).model_copy(update={"points": listed})


def by_id(name: str) -> Question:
    return Question(Purpose.OWN_MARKETING, Channel.EMAIL, customer=hexes(name))


def by_address(name: str) -> Question:
    return Question(Purpose.OWN_MARKETING, Channel.EMAIL, address=f"{name}@example.com")


async def open_with(kielto: Subscriber, relay: HandDrivenRelay, *names: str) -> None:
    await relay.backfill(*(customer(name) for name in names))
    async with asyncio.timeout(20):
        await kielto.ready()
